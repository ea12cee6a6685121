package main

import "weir/cmd/option"

const maxSecretBytes = 64 << 10 // of a file with a key, secret or token

// secret returns an option's value, from the option or from its file; nil if
// neither is set.
func secret(name string, value text, file path) ([]byte, error) {
	b, err := option.Secret(name, string(value), string(file))
	return b, asMistake(err)
}

// readBounded reads a file of at most limit bytes.
func readBounded(file string, limit int64) ([]byte, error) { return option.ReadBounded(file, limit) }

// key returns the API key, which has to survive as the value of an HTTP header.
func (o *apiKeyOptions) key() ([]byte, error) {
	key, err := secret("api-key", o.APIKey, o.APIKeyFile)
	if err != nil || len(key) == 0 {
		return nil, err
	}
	return key, headerValue("api-key", o.APIKeyFile, key)
}

func (o *secretOptions) secret() ([]byte, error) {
	return secret("token-hmac-secret", o.TokenHMACSecret, o.TokenHMACSecretFile)
}

// headerValue refuses a secret that does not survive as the value of an HTTP header.
func headerValue(name string, file path, value []byte) error {
	return asMistake(option.HeaderValue(name, string(file), value))
}
