package doctor

import (
	"os"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"

	"writeback/internal/config"
	"writeback/internal/directory"
	"writeback/internal/seal"
	"writeback/pkg/tsp/all"
)

// settings are those of the api, and which of them cannot be used.
type settings struct {
	config.API
	broken map[string]bool
}

// anyBroken says that one of the variables cannot be used; that was said.
func (s settings) anyBroken(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return s.broken[name] })
}

func (s settings) production() bool { return s.Env == config.Production }

// readSettings reads the variables as api and worker would, and reports what each
// of the two would refuse.
func readSettings(sources config.Sources, r *report) settings {
	api, warnings, err := config.Read[config.API](sources)
	_, _, workerErr := config.Read[config.Worker](sources)
	s := settings{API: api, broken: map[string]bool{}}
	told := map[string]bool{}
	for _, err := range []error{err, workerErr} {
		faults, rest := config.Faults(err)
		for _, f := range faults {
			s.broken[f.Name] = true
			if text := f.Error(); !told[text] {
				told[text] = true
				r.fail("configuration", "correct "+f.Name+" as it says; docs/configuration.md has every variable", "%s", text)
			}
		}
		if rest != nil && !told[rest.Error()] {
			told[rest.Error()] = true
			r.fail("configuration", "give a readable YAML file of NAME: value lines, or none", "%s", rest)
		}
	}
	for _, w := range warnings {
		name, _, _ := strings.Cut(w, " ")
		r.warn("configuration", "correct or unset "+name, "%s", w)
	}
	if len(r.findings) == 0 {
		r.ok("configuration", "every variable can be used; WRITEBACK_ENV is %s", s.Env)
	}
	return s
}

// lookAtRegistry looks whether the registry file is one with which programs start.
func lookAtRegistry(r *report, s settings, environ []string) {
	const check = "registry file"
	if s.broken["WRITEBACK_REGISTRY_FILE"] || s.RegistryFile == "" {
		return
	}
	given := env.ToMap(environ)
	lookup := func(name string) (string, bool) { value, ok := given[name]; return value, ok }
	err := directory.CheckFile(s.RegistryFile, all.Names(), lookup)
	if err == nil {
		r.ok(check, "can be loaded")
		return
	}
	for fault := range strings.SplitSeq(err.Error(), "\n") {
		r.fail(check, "correct it: api and worker do not start with it; what it names as ${NAME} must be in their environment, and in this one", "%s", fault)
	}
}

// lookAtKeyset says whether secrets are sealed, and can be opened.
func lookAtKeyset(r *report, s settings) {
	const check, create = "keyset", "run `writeback keyset create FILE` and set WRITEBACK_KEYSET_FILE for api, worker and writeback"
	switch {
	case s.broken["WRITEBACK_KEYSET_FILE"]: // said above
	case s.KeysetFile == "":
		r.warn(check, create, "no keyset: credentials are stored in clear, and webhook secrets beside their key")
	default:
		if _, err := seal.Load(s.KeysetFile); err != nil {
			r.fail(check, "put the keyset back from its backup; without it nothing that is sealed can be opened", "%s", err)
			return
		}
		if info, err := os.Stat(s.KeysetFile); err == nil && info.Mode().Perm()&0o007 != 0 {
			r.warn(check, "chmod o-rwx the file, or mount the secret with defaultMode 0440", "everybody on this machine may read the keyset (%s)", info.Mode().Perm())
			return
		}
		r.ok(check, "the keyset can be read")
	}
}
