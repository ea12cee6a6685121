package fleet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"weir/loadtest/client"
)

// refusal is an error reply to a command of the hello.
type refusal struct{ code uint32 }

func (r *refusal) Error() string { return fmt.Sprintf("a command was answered with error %d", r.code) }

func number(code uint32) string { return strconv.FormatUint(uint64(code), 10) }

// reason puts the end of a connection under a key of Counters.Closes: a close
// code, HTTP status or error code, or one of a closed list of words.
func reason(err error) string {
	var end *client.End
	if errors.As(err, &end) && end.Code != 0 {
		return number(uint32(end.Code))
	}
	var refused *client.Refusal
	if errors.As(err, &refused) {
		if fields := strings.Fields(refused.Status); len(fields) > 1 && len(fields[1]) == 3 {
			if n, err := strconv.Atoi(fields[1]); err == nil {
				return strconv.Itoa(n)
			}
		}
		return "http"
	}
	var command *refusal
	if errors.As(err, &command) {
		return number(command.code)
	}
	return other(err)
}

func other(err error) string {
	var verify *tls.CertificateVerificationError
	var alert tls.AlertError
	var authority x509.UnknownAuthorityError
	text := err.Error()
	switch {
	case errors.As(err, &verify), errors.As(err, &authority):
		return "certificate"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.As(err, &alert), strings.Contains(text, "tls: "), strings.Contains(text, "TLS "):
		return "tls"
	case strings.Contains(text, "connection reset"), strings.Contains(text, "broken pipe"):
		return "reset"
	case strings.Contains(text, "connection refused"):
		return "connection refused"
	case strings.Contains(text, "cannot assign requested address"), strings.Contains(text, "address already in use"):
		return "ports"
	case strings.Contains(text, "too many open files"):
		return "files"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), strings.Contains(text, "without a close frame"):
		return "eof"
	case strings.Contains(text, "WebSocket frame"), strings.Contains(text, "frame header"):
		return "frame"
	}
	return "other"
}

// refusedBy tells whether a dial failed for a reason that the server gave.
func refusedBy(err error) bool {
	var end *client.End
	var refused *client.Refusal
	var command *refusal
	return errors.As(err, &refused) || errors.As(err, &command) || errors.As(err, &end) && end.Code != 0
}
