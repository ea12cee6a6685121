package demo

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"html"
	"strings"
)

//go:embed page/page.html
var pageHTML string

//go:embed page/page.css
var pageCSS string

//go:embed page/*.js
var pageScripts embed.FS

//go:embed centrifuge-5.8.0.js
var sdkJS string

//go:embed centrifuge-LICENSE
var sdkLicence string

const (
	// Channel is where the sample feed is published and what the page subscribes to.
	Channel = "feeds:prices"

	// SDKName and SDKVersion say which package of npm the page carries.
	SDKName    = "centrifuge"
	SDKVersion = "5.8.0"

	sdkName      = SDKName + " " + SDKVersion
	sourceMapKey = "//# sourceMappingURL="
)

// Page returns the demo page, which connects with the given token, and the value of the Content-Security-Policy header that it
// is to be sent with. The policy is the same for every token.
func Page(token string) (page []byte, csp string) {
	sdk, script := sdkScript(), pageScript()
	page = []byte(strings.NewReplacer(
		"{{token}}", html.EscapeString(token),
		"{{style}}", pageCSS,
		"{{sdk}}", sdk,
		"{{script}}", script,
	).Replace(pageHTML))
	csp = strings.Join([]string{
		"default-src 'none'",
		"script-src " + source(sdk) + " " + source(script),
		"style-src " + source(pageCSS),
		"connect-src 'self'",
		"img-src data:",
		"base-uri 'none'",
		"form-action 'none'",
		"frame-ancestors 'none'",
		"require-trusted-types-for 'script'",
	}, "; ")
	return page, csp
}

// pageScript puts the page's scripts into one that leaves nothing in the window. They are read in this order and only the
// last does anything by itself.
func pageScript() string {
	var b strings.Builder
	b.WriteString("\"use strict\";\n(() => {\n")
	for _, name := range []string{"chart", "board", "channels", "presence", "slow", "start"} {
		script, err := pageScripts.ReadFile("page/" + name + ".js")
		if err != nil {
			panic(err) // it is embedded
		}
		b.Write(script)
	}
	b.WriteString("})();\n")
	return b.String()
}

// sdkScript is the SDK with its licence, without the comment by which developer tools would ask for a source map.
func sdkScript() string {
	code, _, _ := strings.Cut(sdkJS, sourceMapKey)
	return "/*! " + sdkName + "\n" + sdkLicence + "*/\n" + code
}

// SDKDigest is the SHA-256 of the SDK's file in hex, as the package has it.
func SDKDigest() string {
	sum := sha256.Sum256([]byte(sdkJS))
	return hex.EncodeToString(sum[:])
}

// source is the expression that admits one inline text: CSP Level 3, section 2.3.1.
func source(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
