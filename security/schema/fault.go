package schema

// Fault says why a text is refused: a static value that never holds a byte of
// the text. The values below are immutable.
type Fault struct {
	Keyword string // closed list, fit to be a metric label
	Reason  string // short plain text
}

// The faults of the validator. FaultSyntax and FaultUTF8 say that b is not a
// JSON text at all, the others that it is not one for us.
var (
	FaultSyntax    = &Fault{Keyword: "syntax", Reason: "not valid JSON"}
	FaultUTF8      = &Fault{Keyword: "utf8", Reason: "not valid UTF-8"}
	FaultSurrogate = &Fault{Keyword: "surrogate", Reason: "half of a surrogate pair in a string"}
	FaultNumber    = &Fault{Keyword: "number", Reason: "number too long or out of range"}
	FaultDepth     = &Fault{Keyword: "depth", Reason: "nested too deeply"}
	FaultMembers   = &Fault{Keyword: "members", Reason: "too many members in an object"}
	FaultDuplicate = &Fault{Keyword: "duplicate", Reason: "two members of one name"}
)

// The faults that a schema finds, each under the keyword that asks for more. An
// allOf, a $ref, a then and an else have none: the fault is that of the keyword
// in them. FaultFalse is the schema false, where no keyword is to blame.
var (
	FaultFalse                = &Fault{Keyword: "false", Reason: "nothing is allowed here"}
	FaultType                 = &Fault{Keyword: "type", Reason: "not of the type asked for"}
	FaultEnum                 = &Fault{Keyword: "enum", Reason: "none of the values allowed"}
	FaultConst                = &Fault{Keyword: "const", Reason: "not the value asked for"}
	FaultRequired             = &Fault{Keyword: "required", Reason: "a member is missing"}
	FaultAdditionalProperties = &Fault{Keyword: "additionalProperties", Reason: "a member that the schema does not know"}
	FaultPatternProperties    = &Fault{Keyword: "patternProperties", Reason: "a member of this name is not allowed"}
	FaultPropertyNames        = &Fault{Keyword: "propertyNames", Reason: "a member's name is not allowed"}
	FaultMinProperties        = &Fault{Keyword: "minProperties", Reason: "too few members"}
	FaultMaxProperties        = &Fault{Keyword: "maxProperties", Reason: "too many members"}
	FaultDependentRequired    = &Fault{Keyword: "dependentRequired", Reason: "a member that another one asks for is missing"}
	FaultItems                = &Fault{Keyword: "items", Reason: "an item is not allowed here"}
	FaultMinItems             = &Fault{Keyword: "minItems", Reason: "too few items"}
	FaultMaxItems             = &Fault{Keyword: "maxItems", Reason: "too many items"}
	FaultUniqueItems          = &Fault{Keyword: "uniqueItems", Reason: "two items are equal"}
	FaultContains             = &Fault{Keyword: "contains", Reason: "no item is as asked for"}
	FaultMinContains          = &Fault{Keyword: "minContains", Reason: "too few items are as asked for"}
	FaultMaxContains          = &Fault{Keyword: "maxContains", Reason: "too many items are as asked for"}
	FaultMinLength            = &Fault{Keyword: "minLength", Reason: "text too short"}
	FaultMaxLength            = &Fault{Keyword: "maxLength", Reason: "text too long"}
	FaultPattern              = &Fault{Keyword: "pattern", Reason: "text does not match the pattern"}
	FaultFormat               = &Fault{Keyword: "format", Reason: "text is not of the format"}
	FaultMinimum              = &Fault{Keyword: "minimum", Reason: "number too small"}
	FaultMaximum              = &Fault{Keyword: "maximum", Reason: "number too large"}
	FaultExclusiveMinimum     = &Fault{Keyword: "exclusiveMinimum", Reason: "number too small"}
	FaultExclusiveMaximum     = &Fault{Keyword: "exclusiveMaximum", Reason: "number too large"}
	FaultMultipleOf           = &Fault{Keyword: "multipleOf", Reason: "number is no multiple"}
	FaultAnyOf                = &Fault{Keyword: "anyOf", Reason: "none of the alternatives fits"}
	FaultOneOf                = &Fault{Keyword: "oneOf", Reason: "none or more than one of the alternatives fits"}
	FaultNot                  = &Fault{Keyword: "not", Reason: "a value that is ruled out"}
)

// The faults of a text that may well be as the schema asks, but costs too much
// to find out.
var (
	FaultSteps     = &Fault{Keyword: "steps", Reason: "too much work to check against the schema"}
	FaultManyItems = &Fault{Keyword: "manyItems", Reason: "too many items to compare"}
)

// FaultSanitize is that of a text which Rule.HTML makes too long.
var FaultSanitize = &Fault{Keyword: "sanitize", Reason: "too long once its markup is escaped"}

// Keywords is the closed list of the faults' keywords, for a counter of each.
func Keywords() (list []string) {
	for _, f := range []*Fault{
		FaultSyntax, FaultUTF8, FaultSurrogate, FaultNumber, FaultDepth, FaultMembers, FaultDuplicate,
		FaultFalse, FaultType, FaultEnum, FaultConst, FaultRequired, FaultAdditionalProperties, FaultPatternProperties,
		FaultPropertyNames, FaultMinProperties, FaultMaxProperties, FaultDependentRequired, FaultItems, FaultMinItems,
		FaultMaxItems, FaultUniqueItems, FaultContains, FaultMinContains, FaultMaxContains, FaultMinLength,
		FaultMaxLength, FaultPattern, FaultFormat, FaultMinimum, FaultMaximum, FaultExclusiveMinimum,
		FaultExclusiveMaximum, FaultMultipleOf, FaultAnyOf, FaultOneOf, FaultNot, FaultSteps, FaultManyItems, FaultSanitize,
	} {
		list = append(list, f.Keyword)
	}
	return list
}
