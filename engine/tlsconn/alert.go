package tlsconn

// Alert descriptions of RFC 8446 §6 and RFC 5246 §7.2, beside those of package record.
const (
	alertHandshakeFailure      = 40
	alertIllegalParameter      = 47
	alertProtocolVersion       = 70
	alertInternalError         = 80
	alertUserCanceled          = 90
	alertNoRenegotiation       = 100
	alertUnrecognizedName      = 112
	alertNoApplicationProtocol = 120
)
