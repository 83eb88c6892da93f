package demo

import (
	"bytes"
	"crypto/aes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
)

// secret is the original example's secret string. It is public, so everyone can
// make a token for every user: good for a demo and for nothing else.
const secret = "0wCNwGRwJ58sJdZBzUNyP6ogJVSw2OzoTYhDNl5Cnvz8rWfok5Y0yPPA2Uy2HXFj"

// maxToken is the longest token, in bytes of base64, that is looked into.
const maxToken = 1024

var errToken = errors.New("not one of the demo's tokens")

// userForm is what a user id in a token may be: an integer, or a string that is
// not empty.
var userForm = regexp.MustCompile(`^(?:-?[0-9]{1,15}|"[^"\\]+")$`)

// Token returns the demo's token for a user id: base64 of AES-128-ECB, PKCS#7
// padded, over {"user_id":ID}, the key being the first 16 bytes of the
// original's secret. user is the id in JSON: 1, or "anna" in quotes.
func Token(user json.RawMessage) string {
	text := fmt.Appendf(nil, `{"user_id":%s}`, user)
	pad := aes.BlockSize - len(text)%aes.BlockSize
	text = append(text, bytes.Repeat([]byte{byte(pad)}, pad)...)
	eachBlock(text, newCipher().Encrypt)
	return base64.StdEncoding.EncodeToString(text)
}

// userOf returns the user id in a token, as the JSON that stood in it.
func userOf(token []byte) (json.RawMessage, error) {
	if len(token) > maxToken {
		return nil, errToken
	}
	text, err := base64.StdEncoding.Strict().DecodeString(string(token))
	if err != nil || len(text) == 0 || len(text)%aes.BlockSize != 0 {
		return nil, errToken
	}
	eachBlock(text, newCipher().Decrypt)
	if text, err = unpad(text); err != nil {
		return nil, err
	}
	var inside struct {
		User json.RawMessage `json:"user_id"`
	}
	if err := json.Unmarshal(text, &inside); err != nil || !userForm.Match(inside.User) {
		return nil, errToken
	}
	return inside.User, nil
}

// unpad takes the PKCS#7 padding off: n bytes of value n, 1 to a block.
func unpad(text []byte) ([]byte, error) {
	n := int(text[len(text)-1])
	if n < 1 || n > aes.BlockSize {
		return nil, errToken
	}
	body, padding := text[:len(text)-n], text[len(text)-n:]
	if !bytes.Equal(padding, bytes.Repeat([]byte{byte(n)}, n)) {
		return nil, errToken
	}
	return body, nil
}

type block interface {
	Encrypt(dst, src []byte)
	Decrypt(dst, src []byte)
}

func newCipher() block {
	c, err := aes.NewCipher([]byte(secret[:16]))
	if err != nil {
		panic("the demo's key: " + err.Error()) // 16 bytes are always a key
	}
	return c
}

// eachBlock is ECB mode, in place: every block by itself.
func eachBlock(text []byte, do func(dst, src []byte)) {
	for ; len(text) > 0; text = text[aes.BlockSize:] {
		do(text[:aes.BlockSize], text[:aes.BlockSize])
	}
}
