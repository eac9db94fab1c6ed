package devissuer

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

const maxForm = 16 << 10

func (i *Issuer) discovery(w http.ResponseWriter, _ *http.Request) {
	base := strings.TrimSuffix(i.cfg.IssuerURL, Realm)
	answer(w, http.StatusOK, map[string]any{
		"issuer":                                i.cfg.IssuerURL,
		"jwks_uri":                              base + certsPath,
		"token_endpoint":                        base + tokenPath,
		"grant_types_supported":                 []string{"client_credentials"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post"},
		"id_token_signing_alg_values_supported": []string{i.ring.alg},
		"response_types_supported":              []string{},
		"subject_types_supported":               []string{"public"},
		"scopes_supported":                      append([]string{"organization"}, AllScopes()...),
	})
}

func (i *Issuer) certs(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, i.ring.public())
}

// tokenAnswer is the success answer of the token endpoint.
type tokenAnswer struct {
	AccessToken      string `json:"access_token"`
	ExpiresIn        int    `json:"expires_in"`
	RefreshExpiresIn int    `json:"refresh_expires_in"`
	TokenType        string `json:"token_type"`
	NotBeforePolicy  int    `json:"not-before-policy"`
	Scope            string `json:"scope"`
}

func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		refuse(w, http.StatusBadRequest, "invalid_request", "The form could not be read")
		return
	}
	client, ok := i.authenticate(r)
	if !ok {
		w.Header().Set("WWW-Authenticate", `Basic realm="catena"`)
		refuse(w, http.StatusUnauthorized, "invalid_client", "Invalid client or invalid client credentials")
		return
	}
	if g := r.PostForm.Get("grant_type"); g != "client_credentials" {
		refuse(w, http.StatusBadRequest, "unsupported_grant_type", "Only client_credentials is supported")
		return
	}
	scopes, ok := client.grant(r.PostForm.Get("scope"))
	if !ok {
		refuse(w, http.StatusBadRequest, "invalid_scope", "A requested scope is not granted to this client")
		return
	}
	signed, err := i.Mint(client.claims(scopes))
	if err != nil {
		refuse(w, http.StatusInternalServerError, "server_error", "The token could not be signed")
		return
	}
	answer(w, http.StatusOK, tokenAnswer{
		AccessToken: signed,
		ExpiresIn:   int(i.cfg.TokenTTL.Seconds()),
		TokenType:   "Bearer",
		Scope:       strings.Join(scopes, " "),
	})
}

// authenticate takes the credentials from the Authorization header or, without
// one, from the form.
func (i *Issuer) authenticate(r *http.Request) (Client, bool) {
	id, secret, basic := r.BasicAuth()
	if basic {
		var errID, errSecret error
		id, errID = url.QueryUnescape(id)
		secret, errSecret = url.QueryUnescape(secret)
		if errID != nil || errSecret != nil {
			return Client{}, false
		}
	} else {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	c, ok := i.clients[id]
	given, want := sha256.Sum256([]byte(secret)), sha256.Sum256([]byte(c.Secret))
	return c, subtle.ConstantTimeCompare(given[:], want[:]) == 1 && ok
}

func refuse(w http.ResponseWriter, status int, code, description string) {
	answer(w, status, map[string]string{"error": code, "error_description": description})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
