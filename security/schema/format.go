package schema

import "bytes"

// format reports whether a text of valid UTF-8 is of a format. All of them read
// it once.
type format func(text []byte) bool

// formatNamed is the format of a name, nil if it is not supported.
func formatNamed(name string) format {
	switch name {
	case "date-time":
		return isDateTime
	case "date":
		return isDate
	case "uuid":
		return isUUID
	case "email":
		return isEmail
	case "uri":
		return isURI
	case "ipv4":
		return isIPv4
	case "ipv6":
		return isIPv6
	}
	return nil
}

// The lengths of a UUID, and of its text form and that of a date and a time.
const (
	uuidBytes = 36
	dateBytes = len("2006-01-02")
	timeBytes = len("15:04:05")
)

// isDateTime is date-time of RFC 3339 §5.6.
func isDateTime(text []byte) bool {
	if len(text) < dateBytes+1+timeBytes+1 || text[dateBytes]|0x20 != 't' || !isDate(text[:dateBytes]) {
		return false
	}
	return isTime(text[dateBytes+1:])
}

// isDate is full-date of RFC 3339 §5.6.
func isDate(text []byte) bool {
	if len(text) != dateBytes || text[4] != '-' || text[7] != '-' {
		return false
	}
	century, year, month, day := twoDigits(text), twoDigits(text[2:]), twoDigits(text[5:]), twoDigits(text[8:])
	if century < 0 || year < 0 || month < 1 || month > 12 || day < 1 {
		return false
	}
	days := [...]int{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}[month-1]
	if month == 2 && year%4 == 0 && (year != 0 || century%4 == 0) {
		days++
	}
	return day <= days
}

// isTime is full-time of RFC 3339 §5.6. A leap second is the last of a day in UTC.
func isTime(text []byte) bool {
	if len(text) < timeBytes || text[2] != ':' || text[5] != ':' {
		return false
	}
	hour, minute, second := twoDigits(text), twoDigits(text[3:]), twoDigits(text[6:])
	if hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60 {
		return false
	}
	rest := text[timeBytes:]
	if len(rest) > 0 && rest[0] == '.' {
		end := digits(rest, 1)
		if end == 1 {
			return false
		}
		rest = rest[end:]
	}
	minutes := hour*60 + minute
	if len(rest) == 1 && rest[0]|0x20 == 'z' {
		return second < 60 || minutes == 24*60-1
	}
	if len(rest) != len("+00:00") || rest[0] != '+' && rest[0] != '-' || rest[3] != ':' {
		return false
	}
	hour, minute = twoDigits(rest[1:]), twoDigits(rest[4:])
	if hour < 0 || hour > 23 || minute < 0 || minute > 59 {
		return false
	}
	if rest[0] == '-' {
		minutes += hour*60 + minute
	} else {
		minutes += 24*60 - hour*60 - minute
	}
	return second < 60 || minutes%(24*60) == 24*60-1
}

// twoDigits is the value of the two digits that text begins with, or -1.
func twoDigits(text []byte) int {
	tens, ones := text[0]-'0', text[1]-'0'
	if tens > 9 || ones > 9 {
		return -1
	}
	return int(tens)*10 + int(ones)
}

// isUUID is a UUID of RFC 9562 §4, of any version and case.
func isUUID(text []byte) bool {
	if len(text) != uuidBytes {
		return false
	}
	for i, c := range text {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if classOf[c]&charHex == 0 {
			return false
		}
	}
	return true
}

// isEmail is a mailbox of RFC 5321 §4.1.2 in ASCII, without comments, quoted
// pairs and addresses other than IP.
func isEmail(text []byte) bool {
	const maxBytes, maxLocal = 254, 64
	at := bytes.LastIndexByte(text, '@')
	if at < 1 || at > maxLocal || len(text) > maxBytes {
		return false
	}
	local, domain := text[:at], text[at+1:]
	if at > 1 && local[0] == '"' && local[at-1] == '"' {
		for _, c := range local[1 : at-1] {
			if c < ' ' || c > '~' || c == '"' || c == '\\' {
				return false
			}
		}
	} else if !isDotted(local, charAtom, maxLocal) {
		return false
	}
	if n := len(domain); n > 2 && domain[0] == '[' && domain[n-1] == ']' {
		if v6, ok := bytes.CutPrefix(domain[1:n-1], []byte("IPv6:")); ok {
			return isIPv6(v6)
		}
		return isIPv4(domain[1 : n-1])
	}
	return isHost(domain)
}

// isDotted reports whether text is parts of characters of a class, at least one
// and at most a number each, with dots between.
func isDotted(text []byte, class charClass, most int) bool {
	length := 0
	for _, c := range text {
		if c == '.' && length > 0 {
			length = 0
			continue
		}
		if length++; classOf[c]&class == 0 || length > most {
			return false
		}
	}
	return length > 0
}

// isHost is a host name of RFC 1123 §2.1, without a dot at its end.
func isHost(text []byte) bool {
	const maxBytes, maxLabel = 253, 63
	if len(text) > maxBytes || !isDotted(text, charLabel, maxLabel) {
		return false
	}
	for i, c := range text {
		if c == '-' && (i == 0 || i+1 == len(text) || text[i-1] == '.' || text[i+1] == '.') {
			return false
		}
	}
	return true
}
