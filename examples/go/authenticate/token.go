package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
)

// demoSecret is the demo's. A real one is yours alone: set TOKEN_SECRET.
const demoSecret = "0wCNwGRwJ58sJdZBzUNyP6ogJVSw2OzoTYhDNl5Cnvz8rWfok5Y0yPPA2Uy2HXFj"

// opener knows which user a token names. This part is yours: look a session
// up, verify a signature, ask your framework. The demo's tokens are the base64
// of AES-128-ECB with PKCS#7 over {"user_id":1}; ECB has no signature and these
// never expire, so take something better for real users.
type opener struct{ block cipher.Block }

func newOpener(secret string) (*opener, error) {
	if len(secret) < 16 {
		return nil, errors.New("TOKEN_SECRET is shorter than 16 bytes")
	}
	block, err := aes.NewCipher([]byte(secret[:16]))
	return &opener{block}, err
}

// userOf returns the user as the token has it: an integer or a string.
func (o *opener) userOf(token string) (user any, ok bool) {
	sealed, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		return nil, false
	}
	plain, ok := o.open(sealed)
	if !ok {
		return nil, false
	}
	var claims struct {
		UserID any `json:"user_id"`
	}
	decoder := json.NewDecoder(bytes.NewReader(plain))
	decoder.UseNumber()
	if decoder.Decode(&claims) != nil {
		return nil, false
	}
	// Belfry takes an integer up to 2^53 or a string that isn't empty.
	switch id := claims.UserID.(type) {
	case json.Number:
		n, err := id.Int64()
		return n, err == nil && -1<<53 <= n && n <= 1<<53
	case string:
		return id, id != ""
	}
	return nil, false
}

func (o *opener) open(sealed []byte) (plain []byte, ok bool) {
	const size = aes.BlockSize
	if len(sealed) == 0 || len(sealed)%size != 0 {
		return nil, false
	}
	plain = make([]byte, len(sealed))
	for i := 0; i < len(sealed); i += size {
		o.block.Decrypt(plain[i:i+size], sealed[i:i+size])
	}
	padding := int(plain[len(plain)-1])
	if padding == 0 || padding > size {
		return nil, false
	}
	cut := len(plain) - padding
	return plain[:cut], bytes.Equal(plain[cut:], bytes.Repeat([]byte{byte(padding)}, padding))
}
