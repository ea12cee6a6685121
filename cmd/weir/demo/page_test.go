package demo

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

var (
	scripts = regexp.MustCompile(`(?s)<script>(.*?)</script>`)
	styles  = regexp.MustCompile(`(?s)<style>(.*?)</style>`)
)

func policyOf(kind string, texts [][]string) string {
	policy := kind
	for _, text := range texts {
		sum := sha256.Sum256([]byte(text[1]))
		policy += " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return policy
}

// The page is cut as a browser does it, and its parts hashed: that, nothing less and nothing more, is admitted.
func TestPolicyAdmitsExactlyTheParts(t *testing.T) {
	page, csp := Page("token")
	text := string(page)
	directives := strings.Split(csp, "; ")
	for _, want := range []string{
		"default-src 'none'", policyOf("script-src", scripts.FindAllStringSubmatch(text, -1)),
		policyOf("style-src", styles.FindAllStringSubmatch(text, -1)),
		"connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
	} {
		found := false
		for _, directive := range directives {
			found = found || directive == want
		}
		if !found {
			t.Errorf("policy %q lacks %q", csp, want)
		}
	}
	if strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") || strings.Contains(csp, "http") {
		t.Errorf("policy is too wide: %s", csp)
	}
	if n := len(scripts.FindAllString(text, -1)); n != 2 || strings.Count(text, "<script") != n || len(styles.FindAllString(text, -1)) != 1 {
		t.Errorf("%d scripts of %d, want 2; or not one style", n, strings.Count(text, "<script"))
	}
	markup := scripts.ReplaceAllString(styles.ReplaceAllString(text, ""), "")
	if inline := regexp.MustCompile(`(?i)\s(on\w+|style)=`).FindString(markup); inline != "" {
		t.Errorf("the policy blocks the attribute %q", inline)
	}
}

func TestPageAsksNothingOfOthers(t *testing.T) {
	page, _ := Page("token")
	text := string(page)
	const namespace = "http://www.w3.org/2000/svg" // a name, never fetched
	for _, url := range regexp.MustCompile(`(?i)\b(?:https?|wss?|ftp):?//[a-z0-9\[][^\s'"<>]*`).FindAllString(text, -1) {
		if url != namespace {
			t.Errorf("external URL %q", url)
		}
	}
	markup := scripts.ReplaceAllString(styles.ReplaceAllString(text, ""), "")
	for _, reference := range regexp.MustCompile(`(?i)\b(?:src|href|srcset|action|data)\s*=\s*["']?([^"'\s>]*)`).FindAllStringSubmatch(markup, -1) {
		if !strings.HasPrefix(reference[1], "data:image/svg+xml,") {
			t.Errorf("the page asks for %q", reference[0])
		}
	}
	for _, style := range styles.FindAllString(text, -1) {
		if strings.Contains(style, "url(") || strings.Contains(style, "@import") {
			t.Error("the style asks for something")
		}
	}
	if strings.Contains(text, "sourceMappingURL") {
		t.Error("the page names a source map")
	}
}

func TestPageIsSmallAndWhole(t *testing.T) {
	page, _ := Page("token")
	if len(page) > 250<<10 {
		t.Errorf("%d bytes, want at most 250 KiB", len(page))
	}
	text := string(page)
	for _, part := range []string{sdkLicence, pageCSS, pageScript(), sdkName, "globalThis.Centrifuge", Channel} {
		if !strings.Contains(text, part) {
			t.Errorf("the page lacks %.60q", part)
		}
	}
	if left := regexp.MustCompile(`\{\{\w+\}\}`).FindString(text); left != "" {
		t.Errorf("%s was not filled in", left)
	}
}

// Whatever a token holds, it stays an attribute's value and changes no policy.
func TestTokenIsEscaped(t *testing.T) {
	plain, csp := Page("token")
	for _, token := range []string{`"><script>alert(1)</script>`, `{{sdk}}{{script}}`, "'&<>\"", ""} {
		page, again := Page(token)
		if again != csp {
			t.Errorf("token %q changes the policy", token)
		}
		if strings.Count(string(page), "<script") != strings.Count(string(plain), "<script") {
			t.Errorf("token %q adds a script", token)
		}
		value := regexp.MustCompile(`<meta name="weir-token" content="([^"<>]*)">`).FindStringSubmatch(string(page))
		if value == nil {
			t.Errorf("token %q breaks out of its attribute", token)
		}
	}
	if !strings.Contains(string(plain), `<meta name="weir-token" content="token">`) {
		t.Error("the token is not in the page")
	}
}

// The embedded SDK is the file of the npm package, byte for byte.
func TestSDKIsTheOneOfNPM(t *testing.T) {
	const want = "2e9a24e8495900b030008edd8a8d3746a218a213044b5ed15635fbadac24d4b8"
	if got := SDKDigest(); got != want {
		t.Errorf("dist/centrifuge.js of %s has SHA-256 %s, the embedded one %s", sdkName, want, got)
	}
	if !strings.Contains(sdkLicence, "MIT License") || strings.Contains(sdkLicence, "*/") {
		t.Error("the licence is not MIT or would end its comment")
	}
	if strings.Contains(strings.ToLower(sdkJS+pageScript()), "</script") || strings.Contains(strings.ToLower(sdkJS+pageScript()), "<!--") {
		t.Error("a script would end its element early")
	}
	if rest := sdkJS[strings.Index(sdkJS, sourceMapKey):]; strings.TrimSpace(rest) != sourceMapKey+"centrifuge.js.map" {
		t.Errorf("cutting the source map comment would cut %.80q", rest)
	}
}

func ExamplePage() {
	page, csp := Page("the development token")
	fmt.Println(len(page) > 0, strings.HasPrefix(csp, "default-src 'none'"))
	// Output: true true
}
