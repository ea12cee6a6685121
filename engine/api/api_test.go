package api

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"weir/engine/clientproto"
	"weir/engine/stats"
)

func TestPublish(t *testing.T) {
	deep := strings.Repeat("[", 16) + strings.Repeat("]", 16)
	for name, test := range map[string]struct {
		body string
		data string // what the channel "c" holds after it; "" nothing
		code int
	}{
		"object":            {`{"channel":"c","data":{"a":1}}`, `{"a":1}`, 0},
		"compacted":         {"{\"channel\":\"c\",\n\"data\": {\"a\" :\r\n [1, 2,\t\"x  y\\n\"]}}", `{"a":[1,2,"x  y\n"]}`, 0},
		"string":            {`{"channel":"c","data":"text"}`, `"text"`, 0},
		"null":              {`{"channel":"c","data":null}`, `null`, 0},
		"number kept":       {`{"channel":"c","data":1.50e2}`, `1.50e2`, 0},
		"escapes kept":      {`{"channel":"c","data":"\u00e9<&>"}`, `"\u00e9<&>"`, 0},
		"unknown fields":    {`{"channel":"c","data":1,"version":3,"nosuch":{"channel":"d"}}`, `1`, 0},
		"case matters":      {`{"channel":"c","data":1,"CHANNEL":"d","Data":2}`, `1`, 0},
		"null options":      {`{"channel":"c","data":1,"b64data":null,"tags":null,"skip_history":null,"idempotency_key":null}`, `1`, 0},
		"empty b64data":     {`{"channel":"c","data":1,"b64data":""}`, `1`, 0},
		"b64data":           {`{"channel":"c","b64data":"` + base64.StdEncoding.EncodeToString([]byte("{\"a\": \n1}")) + `"}`, `{"a":1}`, 0},
		"b64data null data": {`{"channel":"c","data":null,"b64data":"MQ=="}`, `1`, 0},
		"depth 16":          {`{"channel":"c","data":` + deep + `}`, deep, 0},
		"leading space":     {" \r\n\t" + `{"channel":"c","data":1}` + " \n", `1`, 0},

		"depth 17":             {`{"channel":"c","data":[` + deep + `]}`, "", 107},
		"no body":              {"", "", 107},
		"no data":              {`{"channel":"c"}`, "", 107},
		"no channel":           {`{"data":1}`, "", 107},
		"empty channel":        {`{"channel":"","data":1}`, "", 107},
		"channel null":         {`{"channel":null,"data":1}`, "", 107},
		"channel number":       {`{"channel":1,"data":1}`, "", 107},
		"channel too long":     {`{"channel":"` + strings.Repeat("c", 256) + `","data":1}`, "", 107},
		"channel not ASCII":    {`{"channel":"\u00e9","data":1}`, "", 107},
		"channel newline":      {`{"channel":"c\n","data":1}`, "", 107},
		"both data":            {`{"channel":"c","data":1,"b64data":"MQ=="}`, "", 107},
		"b64data not base64":   {`{"channel":"c","b64data":"!"}`, "", 107},
		"b64data url alphabet": {`{"channel":"c","b64data":"Ij8_Ig=="}`, "", 107},
		"b64data spare bits":   {`{"channel":"c","b64data":"MR=="}`, "", 107},
		"b64data binary":       {`{"channel":"c","b64data":"AAEC"}`, "", 107},
		"b64data number":       {`{"channel":"c","b64data":1}`, "", 107},
		"tags array":           {`{"channel":"c","data":1,"tags":["a"]}`, "", 107},
		"tags number":          {`{"channel":"c","data":1,"tags":{"a":1}}`, "", 107},
		"tags null value":      {`{"channel":"c","data":1,"tags":{"a":null}}`, "", 107},
		"flag number":          {`{"channel":"c","data":1,"skip_history":1}`, "", 107},
		"delta text":           {`{"channel":"c","data":1,"delta":"true"}`, "", 107},
		"key number":           {`{"channel":"c","data":1,"idempotency_key":5}`, "", 107},
		"array body":           {`[{"channel":"c","data":1}]`, "", 107},
		"string body":          {`"channel"`, "", 107},
		"two objects":          {`{"channel":"c","data":1}{"channel":"c","data":2}`, "", 107},
		"two lines":            {"{\"channel\":\"c\",\"data\":1}\n{\"channel\":\"c\",\"data\":2}", "", 107},
		"duplicate name":       {`{"channel":"c","channel":"d","data":1}`, "", 107},
		"duplicate escaped":    {`{"channel":"c","chan\u006eel":"d","data":1}`, "", 107},
		"duplicate in data":    {`{"channel":"c","data":{"a":1,"a":2}}`, "", 107},
		"NaN":                  {`{"channel":"c","data":NaN}`, "", 107},
		"trailing comma":       {`{"channel":"c","data":1,}`, "", 107},
		"comment":              {`{"channel":"c","data":1}//`, "", 107},
		"raw newline":          {"{\"channel\":\"c\",\"data\":\"a\nb\"}", "", 107},
		"not UTF-8":            {"{\"channel\":\"c\",\"data\":\"\xff\"}", "", 107},
		"lone surrogate":       {`{"channel":"c","data":"\ud800"}`, "", 107},
		"byte order mark":      {"\ufeff" + `{"channel":"c","data":1}`, "", 107},
		"NUL":                  {`{"channel":"c","data":1}` + "\x00", "", 107},
		"many members":         {`{"channel":"c","data":{` + members(1025) + `}}`, "", 107},
		"huge exponent":        {`{"channel":"c","data":1e999999999}`, "", 107},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, nil)
			r := s.call(t, "publish", test.body)
			if r.status != http.StatusOK || r.code() != test.code {
				t.Fatalf("status %d code %d (%s), want 200 and %d", r.status, r.code(), r.raw, test.code)
			}
			if got := strings.Join(s.node.published("c"), "|"); got != test.data || s.node.total() > 1 {
				t.Errorf("history %q (%d in all), want %q", got, s.node.total(), test.data)
			}
			if want := `{"result":{"offset":1,"epoch":"e-c"}}`; test.code == 0 && r.raw != want {
				t.Errorf("answer %s, want %s", r.raw, want)
			}
		})
	}
}

func members(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`"m%d":0`, i)
	}
	return strings.Join(list, ",")
}

func TestPublishOptions(t *testing.T) {
	s := newService(t, nil)
	s.call(t, "publish", `{"channel":"c","data":1,"skip_history":true,"delta":true,"tags": { "a" : "b" }}`)
	s.call(t, "publish", `{"channel":"c","data":2,"tags":{}}`)
	want := []published{
		{"1", PublishOptions{SkipHistory: true, Delta: true, Tags: []byte(`{"a":"b"}`)}},
		{"2", PublishOptions{}},
	}
	if got := s.node.channels["c"]; !reflect.DeepEqual(got, want) {
		t.Errorf("published %+v, want %+v", got, want)
	}
}

// A body that ends anywhere is refused whole.
func TestPublishCutShort(t *testing.T) {
	s := newService(t, nil)
	body := `{"channel":"c","data":{"a":[1,"\u00e9"]},"tags":{"x":"y"}}`
	for n := range len(body) {
		if r := s.call(t, "publish", body[:n]); r.code() != 107 {
			t.Errorf("prefix of %d bytes: %s", n, r.raw)
		}
	}
	if s.node.total() != 0 {
		t.Errorf("%d publications of cut bodies", s.node.total())
	}
}

func TestNodeAndChannelErrors(t *testing.T) {
	s := newService(t, func(c *Config) {
		c.Channels = func(name string) *clientproto.Error {
			if strings.HasPrefix(name, "nosuch:") {
				return clientproto.ErrUnknownChannel
			}
			return nil
		}
	})
	for _, test := range []struct {
		refuse  *clientproto.Error
		channel string
		code    int
		status  int // in transport mode
	}{
		{nil, "c", 0, 200},
		{nil, "nosuch:x", 102, 404},
		{clientproto.ErrInternal, "c", 100, 500},
		{clientproto.ErrUnauthorized, "c", 101, 401},
		{clientproto.ErrPermissionDenied, "c", 103, 403},
		{clientproto.ErrLimitExceeded, "c", 106, 400},
		{clientproto.ErrBadRequest, "c", 107, 400},
		{clientproto.ErrNotAvailable, "c", 108, 400},
		{clientproto.ErrTooManyRequests, "c", 111, 429},
		{clientproto.ErrUnrecoverable, "c", 112, 416},
	} {
		s.node.refuse = test.refuse
		body := `{"channel":"` + test.channel + `","data":1}`
		if r := s.call(t, "publish", body); r.status != 200 || r.code() != test.code {
			t.Errorf("code %d: status %d answer %s", test.code, r.status, r.raw)
		}
		r := s.call(t, "publish", body, errorMode, transport)
		if r.status != test.status || r.code() != test.code {
			t.Errorf("code %d in transport mode: status %d answer %s, want status %d", test.code, r.status, r.raw, test.status)
		}
		if r := s.call(t, "publish", body, errorMode, "Transport or so"); r.status != 200 {
			t.Errorf("code %d: another error mode gives status %d", test.code, r.status)
		}
	}
}

func TestTransportModeOfCallerFaults(t *testing.T) {
	s := newService(t, nil)
	for body, status := range map[string]int{`{"channel":"c","data":1}`: 200, `{`: 400, `{"channel":"c"}`: 400} {
		if r := s.call(t, "publish", body, errorMode, transport); r.status != status {
			t.Errorf("%s: status %d, want %d", body, r.status, status)
		}
	}
}

func TestBroadcast(t *testing.T) {
	s := newService(t, func(c *Config) {
		c.Limits.Channels = 3
		c.Channels = func(name string) *clientproto.Error {
			if name == "bad" {
				return clientproto.ErrUnknownChannel
			}
			return nil
		}
	})
	r := s.call(t, "broadcast", `{"channels":["a","bad","b"],"data":{"x": 1}}`)
	want := `{"result":{"responses":[{"result":{"offset":1,"epoch":"e-a"}},` +
		`{"error":{"code":102,"message":"unknown channel"}},{"result":{"offset":1,"epoch":"e-b"}}]}}`
	if r.raw != want || r.status != 200 {
		t.Errorf("answer %s, want %s", r.raw, want)
	}
	if a, b := s.node.published("a"), s.node.published("b"); len(a) != 1 || len(b) != 1 || a[0] != `{"x":1}` || b[0] != a[0] {
		t.Errorf("histories %q and %q", a, b)
	}
	before := s.node.total()
	for name, test := range map[string]struct {
		body string
		code int
	}{
		"none":        {`{"data":1}`, 107},
		"empty":       {`{"channels":[],"data":1}`, 107},
		"not array":   {`{"channels":"a","data":1}`, 107},
		"numbers":     {`{"channels":["a",1],"data":1}`, 107},
		"null inside": {`{"channels":["a",null],"data":1}`, 107},
		"too many":    {`{"channels":["a","b","c","d"],"data":1}`, 106},
		"no data":     {`{"channels":["a"]}`, 107},
	} {
		if r := s.call(t, "broadcast", test.body); r.code() != test.code || r.status != 200 {
			t.Errorf("%s: %s, want code %d", name, r.raw, test.code)
		}
	}
	if s.node.total() != before {
		t.Errorf("%d publications by refused broadcasts", s.node.total()-before)
	}
}

func TestDisconnect(t *testing.T) {
	for name, test := range map[string]struct {
		body string
		want *DisconnectRequest
	}{
		"user":         {`{"user":"u"}`, &DisconnectRequest{Target: Target{User: "u"}, Code: 3503, Reason: "force disconnect"}},
		"client":       {`{"client":"c1"}`, &DisconnectRequest{Target: Target{Client: "c1"}, Code: 3503, Reason: "force disconnect"}},
		"whole":        {`{"user":"u","client":"c1","whitelist":["c2","c3"],"disconnect":{"code":4001,"reason":"bye"}}`, &DisconnectRequest{Target: Target{User: "u", Client: "c1", Whitelist: []string{"c2", "c3"}}, Code: 4001, Reason: "bye"}},
		"code alone":   {`{"user":"u","disconnect":{"code":3011}}`, &DisconnectRequest{Target: Target{User: "u"}, Code: 3011, Reason: "disconnected by server"}},
		"zero values":  {`{"user":"u","disconnect":{"code":0,"reason":""}}`, &DisconnectRequest{Target: Target{User: "u"}, Code: 3503, Reason: "force disconnect"}},
		"nulls":        {`{"user":"u","whitelist":null,"disconnect":null}`, &DisconnectRequest{Target: Target{User: "u"}, Code: 3503, Reason: "force disconnect"}},
		"nobody":       {`{}`, nil},
		"empty":        {`{"user":"","client":""}`, nil},
		"user number":  {`{"user":7}`, nil},
		"client bool":  {`{"client":true}`, nil},
		"whitelist":    {`{"user":"u","whitelist":"c"}`, nil},
		"code low":     {`{"user":"u","disconnect":{"code":1000}}`, nil},
		"code high":    {`{"user":"u","disconnect":{"code":5000}}`, nil},
		"code wraps":   {`{"user":"u","disconnect":{"code":68536}}`, nil},
		"code text":    {`{"user":"u","disconnect":{"code":"3000"}}`, nil},
		"code broken":  {`{"user":"u","disconnect":{"code":3000.5}}`, nil},
		"reason long":  {`{"user":"u","disconnect":{"code":3000,"reason":"` + strings.Repeat("r", 124) + `"}}`, nil},
		"reason JSON":  {`{"user":"u","disconnect":{"code":3000,"reason":"{\"a\":1}"}}`, nil},
		"reason lines": {`{"user":"u","disconnect":{"code":3000,"reason":"a\nb"}}`, nil},
		"reason type":  {`{"user":"u","disconnect":{"code":3000,"reason":5}}`, nil},
		"not object":   {`{"user":"u","disconnect":3000}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, nil)
			r := s.call(t, "disconnect", test.body)
			if test.want == nil {
				if r.code() != 107 || len(s.node.closed) != 0 {
					t.Errorf("answer %s, %d calls; want 107 and none", r.raw, len(s.node.closed))
				}
				return
			}
			if r.raw != `{"result":{}}` || len(s.node.closed) != 1 || !reflect.DeepEqual(normal(s.node.closed[0]), *test.want) {
				t.Errorf("answer %s, calls %+v, want %+v", r.raw, s.node.closed, *test.want)
			}
		})
	}
}

func normal(d DisconnectRequest) DisconnectRequest {
	if len(d.Whitelist) == 0 {
		d.Whitelist = nil
	}
	return d
}

func TestInfo(t *testing.T) {
	s := newService(t, nil)
	s.node.connections = []connection{{"u", "1"}, {"u", "2"}, {"v", "3"}}
	s.call(t, "disconnect", `{"user":"u","whitelist":["2"]}`)
	s.call(t, "publish", `{"channel":"c","data":1}`)
	want := `{"result":{"nodes":[{"uid":"u1","name":"n1","version":"v0","num_clients":2,"num_users":0,"num_subs":0,"num_channels":1,"uptime":7}]}}`
	for _, body := range []string{"", "{}", ` {"x":1}`} {
		if r := s.call(t, "info", body); r.raw != want {
			t.Errorf("body %q: %s, want %s", body, r.raw, want)
		}
	}
}

func TestMethodNames(t *testing.T) {
	s := newService(t, nil)
	for _, name := range MethodNames() {
		if r := s.call(t, name, `{}`); r.status != 200 || r.code() == 104 || r.code() == 100 {
			t.Errorf("%s: status %d %s, want 200 and a result or a caller's mistake", name, r.status, r.raw)
		}
	}
	for _, name := range []string{"", "nosuch", "publish/", "Publish", "publish/x"} {
		if r := s.call(t, name, `{}`); r.status != 404 || r.code() != 104 {
			t.Errorf("%q: status %d %s, want 404 and 104", name, r.status, r.raw)
		}
	}
}

func TestOnlyPost(t *testing.T) {
	s := newService(t, nil)
	for _, method := range []string{"GET", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"} {
		r := s.do(t, method, "/api/publish", `{"channel":"c","data":1}`)
		if r.status != http.StatusMethodNotAllowed || r.header.Get("Allow") != "POST" || r.code() != 107 {
			t.Errorf("%s: status %d Allow %q %s", method, r.status, r.header.Get("Allow"), r.raw)
		}
	}
	if s.node.total() != 0 {
		t.Error("published by another method than POST")
	}
}

func TestKey(t *testing.T) {
	s := newService(t, nil)
	body := `{"channel":"c","data":1}`
	for name, headers := range map[string][]string{
		"missing":     {keyHeader, ""},
		"wrong":       {keyHeader, "no"},
		"prefix":      {keyHeader, testKey[:len(testKey)-1]},
		"longer":      {keyHeader, testKey + "x"},
		"other case":  {keyHeader, strings.ToUpper(testKey)},
		"twice":       {keyHeader, testKey, keyHeader, testKey},
		"two":         {keyHeader, "no", keyHeader, testKey},
		"as apikey":   {keyHeader, "", "Authorization", "apikey " + testKey},
		"as bearer":   {keyHeader, "", "Authorization", "Bearer " + testKey},
		"huge":        {keyHeader, strings.Repeat("k", 100_000)},
		"in a cookie": {keyHeader, "", "Cookie", "X-API-Key=" + testKey},
	} {
		r := s.call(t, "publish", body, headers...)
		if r.status != http.StatusUnauthorized || r.code() != 101 || r.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: status %d %s", name, r.status, r.raw)
		}
	}
	for _, query := range []string{"?X-API-Key=", "?api_key=", "?x-api-key="} {
		r := s.do(t, "POST", "/api/publish"+query+strings.ReplaceAll(testKey, " ", "%20"), body, keyHeader, "")
		if r.status != http.StatusUnauthorized {
			t.Errorf("key in the query %s: status %d", query, r.status)
		}
	}
	// Nothing but the key is looked at: a stranger does not learn methods, limits or which verbs there are.
	want := s.call(t, "publish", body, keyHeader, "no").raw
	for _, r := range []reply{
		s.call(t, "nosuch", body, keyHeader, "no"),
		s.call(t, "history", "{}", keyHeader, "no"),
		s.do(t, "GET", "/api/publish", "", keyHeader, "no"),
		s.call(t, "publish", strings.Repeat("x", 2<<20), keyHeader, "no"),
		s.call(t, "publish", body, keyHeader, "no", errorMode, transport),
	} {
		if r.status != http.StatusUnauthorized || r.raw != want {
			t.Errorf("status %d %s, want 401 %s", r.status, r.raw, want)
		}
	}
	if s.node.total() != 0 {
		t.Error("published without the key")
	}
}

func TestNoConfiguredKeyRefusesAll(t *testing.T) {
	s := newService(t, func(c *Config) { c.APIKey = "" })
	for _, headers := range [][]string{{keyHeader, ""}, {keyHeader, "x"}} {
		if r := s.call(t, "info", "", headers...); r.status != http.StatusUnauthorized {
			t.Errorf("%q: status %d, want 401", headers, r.status)
		}
	}
	// An empty header value, which the Go client would not send.
	request := httptest.NewRequest("POST", "/api/info", nil)
	request.Header[keyHeader] = []string{""}
	request.Header["X-Api-Key"] = []string{""}
	recorder := httptest.NewRecorder()
	New(Config{Node: s.node}).API().ServeHTTP(recorder, request)
	if recorder.Code != http.StatusUnauthorized {
		t.Errorf("empty key against no key: status %d, want 401", recorder.Code)
	}
}

// Who declares a body and sends none is answered at once and cut off, if the answer does not depend on the body.
func TestAnswersThatDoNotWaitForTheBody(t *testing.T) {
	s := newService(t, nil)
	for name, test := range map[string]struct {
		key, method    string
		declared, want int
	}{
		"no key, large body": {"no", "publish", 1_000_000_000, http.StatusUnauthorized},
		"no key, small body": {"no", "publish", 1000, http.StatusUnauthorized},
		"no such method":     {testKey, "nosuch", 1000, http.StatusNotFound},
		"over the bound":     {testKey, "publish", 1_000_000_000, http.StatusRequestEntityTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", s.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
			fmt.Fprintf(conn, "POST /api/%s HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\nContent-Length: %d\r\n\r\n", test.method, test.key, test.declared)
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != test.want || !response.Close {
				t.Errorf("status %d, close %v (%v); want %d and closed", response.StatusCode, response.Close, err, test.want)
			}
		})
	}
}

func TestBodyBound(t *testing.T) {
	const bound = 1000
	s := newService(t, func(c *Config) { c.Limits.Body = bound; c.Limits.Data = 900 })
	pad := func(n int) string {
		frame := `{"channel":"c","data":1}`
		return frame + strings.Repeat(" ", n-len(frame))
	}
	if r := s.call(t, "publish", pad(bound)); r.status != 200 || r.code() != 0 {
		t.Errorf("body at the bound: %d %s", r.status, r.raw)
	}
	if r := s.call(t, "publish", pad(bound+1)); r.status != http.StatusRequestEntityTooLarge || r.code() != 106 {
		t.Errorf("body over the bound: %d %s", r.status, r.raw)
	}
	// The same without a declared length.
	request, _ := http.NewRequest("POST", s.URL+"/api/publish", io.LimitReader(endless{}, 10*bound))
	request.Header.Set(keyHeader, testKey)
	response, err := s.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("chunked body over the bound: status %d", response.StatusCode)
	}
	for n, code := range map[int]int{900: 0, 901: 106} {
		if r := s.call(t, "publish", `{"channel":"c","data":"`+strings.Repeat("d", n-2)+`"}`); r.code() != code {
			t.Errorf("data of %d bytes: %s", n, r.raw)
		}
	}
	if s.node.total() != 2 {
		t.Errorf("%d publications, want 2", s.node.total())
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
}

func TestBodyThatEndsEarlyPublishesNothing(t *testing.T) {
	s := newService(t, nil)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	body := `{"channel":"c","data":1}`
	fmt.Fprintf(conn, "POST /api/publish HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\nContent-Length: %d\r\n\r\n%s", testKey, len(body)+1, body)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	conn.Close()
	if response.StatusCode != http.StatusBadRequest || s.node.total() != 0 {
		t.Errorf("status %d, %d publications; want 400 and none", response.StatusCode, s.node.total())
	}
}

func TestCallsAreCounted(t *testing.T) {
	s := newService(t, nil)
	s.call(t, "publish", `{"channel":"c","data":1}`)
	s.call(t, "publish", `{"channel":"","data":1}`)
	s.call(t, "presence", `{"channel":"none"}`)
	s.call(t, "made up by a peer", `{}`)
	s.call(t, "publish", `{}`, keyHeader, "no")
	for label, want := range map[string]uint64{"publish": 2, "presence": 1, stats.Other: 2} {
		if got := s.set.LabelTotal(stats.APIRequests, label); got != want {
			t.Errorf("requests %q: %d, want %d", label, got, want)
		}
	}
	for code, want := range map[uint32]uint64{101: 1, 104: 1, 107: 1, 108: 1} {
		if got := s.set.CodeTotal(stats.APIErrors, code); got != want {
			t.Errorf("errors %d: %d, want %d", code, got, want)
		}
	}
	if got := s.set.LabelTotal(stats.PublishRefused, "bad_request"); got != 1 {
		t.Errorf("refused publications: %d, want 1", got)
	}
}

func TestHealth(t *testing.T) {
	s := newService(t, nil)
	health := httptest.NewServer(New(Config{Node: s.node, Metrics: nil}).Health())
	defer health.Close()
	noKey := []string{keyHeader, ""}
	if r := s.do(t, "GET", "/health", "", noKey...); r.status != 200 || r.raw != "{}" {
		t.Errorf("/health: %d %s", r.status, r.raw)
	}
	if r := s.do(t, "GET", "/ready", "", noKey...); r.status != 200 || r.raw != `{"ready":true}` {
		t.Errorf("/ready: %d %s", r.status, r.raw)
	}
	s.node.notReady = "draining"
	if r := s.do(t, "GET", "/ready", "", noKey...); r.status != 503 || r.raw != `{"ready":false,"reason":"draining"}` {
		t.Errorf("/ready of a draining node: %d %s", r.status, r.raw)
	}
	if r := s.do(t, "GET", "/health", "", noKey...); r.status != 200 {
		t.Errorf("/health of a draining node: %d", r.status)
	}
	if r := s.do(t, "GET", "/metrics", "", noKey...); r.status != 200 || !strings.Contains(r.raw, "\nweir_connections 0\n") {
		t.Errorf("/metrics: %d %.200s", r.status, r.raw)
	}
	if r := s.do(t, "POST", "/health", "", noKey...); r.status != http.StatusMethodNotAllowed {
		t.Errorf("POST /health: %d", r.status)
	}
	for _, path := range []string{"/", "/console", "/api", "//api/publish", "/health/", "/nosuch"} {
		if r := s.do(t, "GET", path, "", noKey...); r.status != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", path, r.status)
		}
	}
	// The health listener has nothing else, whatever key is sent; without a gatherer there are no metrics.
	s.URL = health.URL
	for _, path := range []string{"/api/info", "/api/publish", "/console", "/metrics"} {
		if r := s.do(t, "POST", path, `{}`); r.status != http.StatusNotFound {
			t.Errorf("%s on the health listener: %d, want 404", path, r.status)
		}
	}
}

func TestAnswersAreNotSniffedOrCached(t *testing.T) {
	s := newService(t, nil)
	for _, r := range []reply{s.call(t, "info", ""), s.call(t, "publish", "{"), s.call(t, "x", "", keyHeader, "no")} {
		if r.header.Get("X-Content-Type-Options") != "nosniff" || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("headers %v", r.header)
		}
	}
}

func FuzzPublishBody(f *testing.F) {
	for _, seed := range []string{
		`{"channel":"c","data":{"a":1}}`, `{"channel":"c","b64data":"MQ==","tags":{"a":"b"}}`, `{"channel":"c","data":[[[]]]}`, `{`, ``,
		`{"channel":"c","data":1,"data":2}`, `{"channel":"c","data":"a\u0000"}`, `{"channel":"c","data":1,"idempotency_key":"k"}`,
	} {
		f.Add([]byte(seed))
	}
	for _, seed := range []string{
		`{"ch\u0061nnel":"c","Channel":"d","data" : { "a b" : [ "\n" , "\ud83d\ude00" ] } }`, `{"channel":"c","b64data":"eyJhIjpbMSwyXX0K","data":null}`, `{"channel":"c","b64data":"ewogImEiOgog\r\nMX0","tags":{"":""}}`, `{"channel":"a*","data":1}`,
		`{"channel":"\u0063","data":-0.0,"tags":null,"skip_history":0}`, `{"channel":"c","data":"` + "\xff" + `"}`, `{"channel":"c","data":1e999}`, ` {"channel" : "$c#u", "data":"\u2028</script>"}` + "\r\n", `{"channel":"c","data":{"a":1,"\u0061":2}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		node := &memoryNode{}
		h := New(Config{Node: node, APIKey: testKey})
		request := httptest.NewRequest("POST", "/api/publish", strings.NewReader(string(body)))
		request.Header.Set(keyHeader, testKey)
		recorder := httptest.NewRecorder()
		h.API().ServeHTTP(recorder, request)
		if !json.Valid(recorder.Body.Bytes()) || recorder.Code != 200 {
			t.Fatalf("status %d, answer %q", recorder.Code, recorder.Body)
		}
		accepted := strings.HasPrefix(recorder.Body.String(), `{"result"`)
		if accepted != (node.total() == 1) {
			t.Fatalf("answer %q with %d publications", recorder.Body, node.total())
		}
		for channel, list := range node.channels {
			data := list[0].data
			if !json.Valid([]byte(data)) || strings.ContainsAny(data, "\n\r") {
				t.Fatalf("channel %q got %q", channel, data)
			}
			// The naive reading of an accepted body agrees.
			var naive map[string]any
			if json.Unmarshal(body, &naive) != nil || naive["channel"] != channel {
				t.Fatalf("channel %q of %q", channel, body)
			}
		}
	})
}

// However deep the operator allows JSON to be, a body that encoding/json does not read is a bad request and no panic.
func TestDepthBeyondEncodingJSON(t *testing.T) {
	s := newService(t, func(c *Config) { c.Limits.Depth = 1 << 30 })
	nested := func(n int) string {
		return `{"channel":"c","data":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}`
	}
	if r := s.call(t, "publish", nested(maxDepth)); r.code() != 0 {
		t.Errorf("%d levels: %.200s", maxDepth, r.raw)
	}
	if r := s.call(t, "publish", nested(maxDepth+1)); r.code() != 107 {
		t.Errorf("%d levels: %.200s", maxDepth+1, r.raw)
	}
	inner := strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1)
	if r := s.call(t, "publish", `{"channel":"c","b64data":"`+base64.StdEncoding.EncodeToString([]byte(inner))+`"}`); r.code() != 107 {
		t.Errorf("b64data of %d levels: %.200s", maxDepth+1, r.raw)
	}
}
