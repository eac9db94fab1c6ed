package sandbox_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"writeback/internal/sandbox"
	"writeback/pkg/tsp/all/boxes"
)

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		sandbox.New(sandbox.Config{Parts: boxes.Parts(boxes.Config{})})
	}
}

// BenchmarkWrite is one write without the network, as a load run makes them.
func BenchmarkWrite(b *testing.B) {
	sb := sandbox.New(sandbox.Config{Parts: boxes.Parts(boxes.Config{})})
	handler := sb.Handler()
	send := func(method, path, token, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", jsonType)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
		return w
	}
	login := send("POST", "/geotab/apiv1", "", `{"method":"Authenticate","params":{"database":"sandbox_c3","userName":"service@northwind.example","password":"sandbox-geotab-c3"}}`)
	var session struct {
		Result struct {
			Credentials json.RawMessage `json:"credentials"`
		} `json:"result"`
	}
	if err := json.Unmarshal(login.Body.Bytes(), &session); err != nil {
		b.Fatal(err)
	}
	geotab := func(method, rest string) *httptest.ResponseRecorder {
		return send("POST", "/geotab/apiv1", "", fmt.Sprintf(`{"method":%q,"params":{"typeName":"User","credentials":%s,%s}}`, method, session.Result.Credentials, rest))
	}
	var read struct {
		Result []json.RawMessage `json:"result"`
	}
	if err := json.Unmarshal(geotab("Get", `"search":{"id":"b6"}`).Body.Bytes(), &read); err != nil {
		b.Fatal(err)
	}
	for name, write := range map[string]func(){
		"samsara": func() { send("PATCH", "/samsara"+driver5, samsaraToken, `{"notes":"n","eldPcEnabled":true}`) },
		"motive":  func() { send("PUT", "/motive"+user5, motiveToken, `{"first_name":"A","cycle":"70_8"}`) },
		"geotab":  func() { geotab("Set", `"entity":`+string(read.Result[0])) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				write()
			}
		})
	}
}
