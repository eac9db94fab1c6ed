package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/google/uuid"

	"writeback/internal/telemetry"
	"writeback/internal/wire"
	"writeback/pkg/operation"
	"writeback/pkg/tsp"
)

// batchPath is where many users are updated at once.
const batchPath = "/v2/telematics/users/batch"

// counts are those of the elements of a batch.
type counts struct {
	elements, accepted, replayed, refused int
	// statuses counts the answers by their status.
	statuses map[int]int
}

// updateUsers accepts many writes to users, each answered on its own. What concerns the
// request as a whole is checked first, and then nothing of it is accepted.
func (s *server) updateUsers(w http.ResponseWriter, r *http.Request) error {
	media, err := wantMedia(r.Header, wire.MediaJSON, wire.MediaLines)
	if err != nil {
		return err
	}
	if err := wantPlain(r, "a batch"); err != nil {
		return err
	}
	body, err := s.readBody(w, r, s.cfg.MaxBatch)
	if err != nil {
		return err
	}
	elements, err := wire.SplitBatch(body, media)
	if err != nil {
		return err
	}
	partner := principalOf(r.Context()).PartnerID
	budget, err := s.deps.Admission.TakeMore(partner, len(elements)-1)
	showBudget(w, budget)
	if err != nil {
		return err
	}
	b, err := s.newBatch(r, elements)
	if err != nil {
		return err
	}
	if err := s.acceptBatch(r.Context(), partner, b); err != nil {
		return err
	}
	s.answerBatch(w, r, media, b)
	return nil
}

// wantPlain refuses what a single write can be asked for and this cannot: left out, a
// dry run would be a write.
func wantPlain(r *http.Request, this string) error {
	values, err := query(r)
	if err != nil {
		return err
	}
	return wire.ParsePlainMode(values, this)
}

// batch is a request on its way: the answers so far, and what is to be accepted.
type batch struct {
	results []wire.BatchResult
	// all are the operations to accept, places those of their elements, keys what those
	// were given.
	all    []operation.Accepted
	places []int
	keys   []givenKey
	limits map[uuid.UUID]tsp.Limits
	counts counts
}

// newBatch decodes and resolves the elements. What is wrong with one is its answer.
func (s *server) newBatch(r *http.Request, elements [][]byte) (*batch, error) {
	key, err := requestKey(r)
	if err != nil {
		return nil, err
	}
	parent, state := telemetry.Inject(r.Context())
	partner := principalOf(r.Context()).PartnerID
	b := &batch{results: make([]wire.BatchResult, len(elements)), limits: map[uuid.UUID]tsp.Limits{}}
	b.counts.statuses = map[int]int{}
	// One for all keys that are looked up: a store that is away is waited for once.
	ctx, cancel := s.deadline(r.Context(), s.cfg.Timeout)
	defer cancel()
	for i, raw := range elements {
		in, err := s.element(raw)
		if err != nil {
			s.refuseElement(r.Context(), b, i, err)
			continue
		}
		stands := elementKey(r, partner, in, raw, key, i)
		a, limits, err := s.resolveUpdate(partner, write{user: in.UserID, UserWrite: in.UserWrite})
		if err != nil {
			s.refusedElement(ctx, b, i, in.ConnectionID, stands, err)
			continue
		}
		if a.ID, err = s.ids.New(a.ConnectionID); err != nil {
			s.refuseElement(r.Context(), b, i, err)
			continue
		}
		a.Key = stands
		a.TraceParent, a.TraceState = parent, state
		given := givenKey{headerKey, key}
		if in.Key != "" {
			given = givenKey{"body.idempotency_key", in.Key}
		}
		b.all, b.places, b.keys = append(b.all, a), append(b.places, i), append(b.keys, given)
		b.limits[a.ConnectionID] = limits
	}
	return b, nil
}

// element reads one element, by the rules of a request for it alone.
func (s *server) element(raw []byte) (wire.BatchUpdate, error) {
	if int64(len(raw)) > s.cfg.MaxBody {
		return wire.BatchUpdate{}, refuse(http.StatusRequestEntityTooLarge, "the element is larger than %d bytes", s.cfg.MaxBody)
	}
	return wire.DecodeBatchUpdate(raw, s.cfg.Decode)
}

// refusedElement answers for an element that may not be written by now: with what its key
// has stood for, or with the refusal.
func (s *server) refusedElement(ctx context.Context, b *batch, place int, connection uuid.UUID, key *operation.Key, refusal error) {
	op, err := s.repeated(ctx, connection, key, refusal)
	if err != nil {
		s.refuseElement(ctx, b, place, err)
		return
	}
	b.takenElement(place, op, true)
}

// takenElement answers for an element that was accepted, now or before.
func (b *batch) takenElement(place int, op operation.Operation, replay bool) {
	b.counts.accepted++
	b.counts.statuses[http.StatusAccepted]++
	if replay {
		b.counts.replayed++
	}
	b.results[place] = wire.BatchAccepted(place, op, replay)
}

// elementKey is the idempotency key of an element: its own, or what the request's key
// makes of its place and its user. Nil: neither is there.
func elementKey(r *http.Request, partner uuid.UUID, in wire.BatchUpdate, raw []byte, key string, place int) *operation.Key {
	scope := []string{partner.String(), r.Method, batchPath, in.UserID.String()}
	switch {
	case in.Key != "":
		scope = append(scope, "element", in.Key)
	case key != "":
		scope = append(scope, "request", key, strconv.Itoa(place))
	default:
		return nil
	}
	return &operation.Key{Scope: digest(scope...), Fingerprint: fingerprint(false, compact(raw))}
}

// compact is an element as a line could have it: in an array it may be spread over many.
func compact(element []byte) []byte {
	var out bytes.Buffer
	if json.Compact(&out, element) != nil {
		return element // one that was decoded is JSON
	}
	return out.Bytes()
}

func (s *server) refuseElement(ctx context.Context, b *batch, place int, err error) {
	status, shown := s.classify(ctx, err)
	b.results[place] = wire.BatchRefused(place, status, shown)
	b.counts.refused++
	b.counts.statuses[status]++
}

// acceptBatch accepts what is to be accepted, and fills in the other answers.
func (s *server) acceptBatch(ctx context.Context, partner uuid.UUID, b *batch) error {
	b.counts.elements = len(b.results)
	trailOf(ctx).batch = &b.counts
	if len(b.all) == 0 {
		return nil
	}
	refused := s.deps.Admission.Room(ctx, partner, len(b.all))
	ctx, cancel := s.deadline(ctx, s.cfg.Timeout)
	defer cancel()
	if refused != nil {
		return s.repeatBatch(ctx, b, refused)
	}
	ops, errs := s.deps.Accepter.AcceptMany(ctx, b.all, func(a operation.Accepted) tsp.Limits { return b.limits[a.ConnectionID] })
	if len(ops) != len(b.all) || len(errs) != len(b.all) {
		return fmt.Errorf("httpapi: %d operations were answered for %d elements", len(ops), len(b.all))
	}
	for n, place := range b.places {
		if errs[n] != nil {
			s.refuseElement(ctx, b, place, b.keys[n].blamed(errs[n]))
			continue
		}
		replay := ops[n].ID != b.all[n].ID
		s.meters.taken(ctx, b.all[n], replay)
		b.takenElement(place, ops[n], replay)
	}
	return nil
}

// repeatBatch answers a batch that there is no room for with what the keys of its elements
// have stood for. If that is nothing, it is refused as a whole.
func (s *server) repeatBatch(ctx context.Context, b *batch, refusal error) error {
	for n, place := range b.places {
		op, err := s.repeated(ctx, b.all[n].ConnectionID, b.all[n].Key, refusal)
		if err != nil {
			s.refuseElement(ctx, b, place, err)
			continue
		}
		b.takenElement(place, op, true)
	}
	if b.counts.replayed == 0 {
		return refusal
	}
	return nil
}

// answerBatch writes the answers in the form of the request. They are replays as a whole
// if there is nothing new among them.
func (s *server) answerBatch(w http.ResponseWriter, r *http.Request, media string, b *batch) {
	if b.counts.accepted > 0 && b.counts.accepted == b.counts.replayed {
		w.Header().Set("Idempotency-Replayed", "true")
	}
	if media == wire.MediaLines {
		writeAll(s, w, r, http.StatusOK, media, b.results)
		return
	}
	s.write(w, r, http.StatusOK, wire.BatchAnswer{Items: b.results})
}
