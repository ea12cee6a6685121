package audit

import "encoding/hex"

// ParseTrace reads a traceparent (W3C Trace Context §3.2): lower case, neither id
// all zero. Later versions may go on behind what version 00 has.
func ParseTrace(b []byte) (t Trace, ok bool) {
	const length = 55
	if len(b) < length || len(b) > maxShort || b[2] != '-' || b[35] != '-' || b[52] != '-' {
		return Trace{}, false
	}
	var version, flags [1]byte
	for _, field := range []struct{ dst, text []byte }{
		{version[:], b[:2]}, {t.ID[:], b[3:35]}, {t.Parent[:], b[36:52]}, {flags[:], b[53:55]},
	} {
		for _, c := range field.text {
			if c >= 'A' && c <= 'F' {
				return Trace{}, false
			}
		}
		if _, err := hex.Decode(field.dst, field.text); err != nil {
			return Trace{}, false
		}
	}
	t.Flags = flags[0]
	longer := len(b) > length
	if version[0] == 0xff || version[0] == 0 && longer || longer && b[length] != '-' || t.ID == [16]byte{} || t.Parent == [8]byte{} {
		return Trace{}, false
	}
	return t, true
}
