package metrics

// The names.
const (
	HTTPServerDuration Name = "http.server.request.duration"
	HTTPServerActive   Name = "http.server.active_requests"
	HTTPClientDuration Name = "http.client.request.duration"

	MessagingDuration Name = "messaging.client.operation.duration"
	MessagingSent     Name = "messaging.client.sent.messages"
	MessagingConsumed Name = "messaging.client.consumed.messages"
	MessagingProcess  Name = "messaging.process.duration"

	Accepted       Name = "writeback.operations.accepted"
	BatchUpdates   Name = "writeback.batch.updates"
	Replays        Name = "writeback.idempotent.replays"
	TokensRejected Name = "writeback.tokens.rejected"

	Attempts          Name = "writeback.attempts"
	AttemptDuration   Name = "writeback.attempt.duration"
	FirstAttemptDelay Name = "writeback.first_attempt.delay"
	Handovers         Name = "writeback.handovers"
	Ended             Name = "writeback.operations.ended"
	OperationDuration Name = "writeback.operation.duration"

	Pending   Name = "writeback.operations.pending"
	OldestAge Name = "writeback.operations.oldest.age"

	LimitRemaining Name = "writeback.provider.limit.remaining"
	LimitWait      Name = "writeback.provider.limit.wait"
	Backoff        Name = "writeback.provider.backoff"
	BreakerOpen    Name = "writeback.provider.breaker.open"

	DueLanes         Name = "writeback.due.lanes"
	DueAge           Name = "writeback.due.age"
	OutboxDepth      Name = "writeback.outbox.depth"
	OutboxAge        Name = "writeback.outbox.age"
	BeatAge          Name = "writeback.beat.age"
	Lanes            Name = "writeback.lanes"
	LanesRead        Name = "writeback.lanes.read"
	LanesBlocked     Name = "writeback.lanes.blocked"
	LanesOpen        Name = "writeback.lanes.breaker_open"
	LanesPaused      Name = "writeback.lanes.paused"
	ShardsMissing    Name = "writeback.shards.missing"
	ShardsRebuilding Name = "writeback.shards.rebuilding"
	ShardsUnfinished Name = "writeback.shards.unfinished"
	Connections      Name = "writeback.connections"
	Slots            Name = "writeback.slots"
	SlotsFree        Name = "writeback.slots.free"
	NATSConnected    Name = "writeback.nats.connected"
	AcksQueued       Name = "writeback.acks.queued"
	TailsDropped     Name = "writeback.tails.dropped"
	StreamsMissing   Name = "writeback.streams.missing"
	StreamUsed       Name = "writeback.stream.used"
	StreamLimit      Name = "writeback.stream.limit"

	Generations     Name = "writeback.generations"
	Rebuilds        Name = "writeback.rebuilds"
	RebuildDuration Name = "writeback.rebuild.duration"
	Repairs         Name = "writeback.repairs"
	DeadLetters     Name = "writeback.dead_letters"

	WebhookEventAge     Name = "writeback.webhook.event.age"
	WebhookSends        Name = "writeback.webhook.sends"
	WebhookSendDuration Name = "writeback.webhook.send.duration"
	WebhookFirstDelay   Name = "writeback.webhook.first_send.delay"
	WebhookEnded        Name = "writeback.webhook.deliveries.ended"
	WebhookDuration     Name = "writeback.webhook.delivery.duration"
	WebhookStaled       Name = "writeback.webhook.endpoints.staled"

	SyncUsers Name = "writeback.sync.users"
	SyncPages Name = "writeback.sync.pages"
	SyncWalks Name = "writeback.sync.walks"
)

// The bounds of histograms, in seconds.
var (
	// quick is for what is answered within a request.
	quick = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	// patient is for what may wait for its provider until the next day.
	patient = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400}
	// slow is for what takes seconds to minutes.
	slow = []float64{.1, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600}
)

// table is in the order of docs/metrics.md.
var table = []Metric{
	{Name: HTTPServerDuration, Kind: Spread, Unit: "s", In: API, Labels: []Label{method, route, code, scheme, fault}, Buckets: quick, Standard: true,
		About: "Time to answer a request of the partner API.", Answers: "How fast and how well is the API answering, by route?"},
	{Name: HTTPServerActive, Kind: UpDown, Unit: "{request}", In: API, Labels: []Label{method, scheme}, Standard: true,
		About: "Requests of the partner API under way.", Answers: "Do requests pile up?"},
	{Name: HTTPClientDuration, Kind: Spread, Unit: "s", In: Both, Labels: []Label{provider, method, code}, Buckets: quick, Standard: true,
		About: "Time of one HTTP call of an adapter; a write may take several.", Answers: "How fast does a provider's API answer, and with what?"},

	{Name: MessagingDuration, Kind: Spread, Unit: "s", In: Both, Labels: []Label{system, doing, destination, mishap}, Buckets: quick, Standard: true,
		About: "Time of one publish, its acknowledgement included.", Answers: "Is JetStream keeping up?"},
	{Name: MessagingSent, Kind: Count, Unit: "{message}", In: Both, Labels: []Label{system, doing, destination, mishap}, Standard: true,
		About: "Messages that were published, or could not be; one that carries several counts as many.", Answers: "How much goes into the streams, and does any of it fail?"},
	{Name: MessagingConsumed, Kind: Count, Unit: "{message}", In: Worker, Labels: []Label{system, doing, destination, group}, Standard: true,
		About: "Messages that were handed to this process, counted in the same way.", Answers: "Do the workers receive?"},
	{Name: MessagingProcess, Kind: Spread, Unit: "s", In: Worker, Labels: []Label{system, destination, group}, Buckets: quick, Standard: true,
		About: "Time to fan one event out into webhook deliveries.", Answers: "Is fanning out slow?"},

	{Name: Accepted, Kind: Count, Unit: "{operation}", In: API, Labels: []Label{provider, kindOfOp, mode},
		About: "Operations that were accepted.", Answers: "How much work comes in, for whom?"},
	{Name: BatchUpdates, Kind: Count, Unit: "{update}", In: API, Labels: []Label{updateCode},
		About: "Updates that came in batches, by what each was answered with; the request itself is answered 200. Those of a batch that is refused as a whole " +
			"have its status, and count as one where they were not read.",
		Answers: "How are the updates of batches answered?"},
	{Name: Replays, Kind: Count, Unit: "{request}", In: API,
		About: "Requests that repeated an idempotency key and got the earlier operation.", Answers: "Do partners repeat themselves?"},
	{Name: TokensRejected, Kind: Count, Unit: "{request}", In: API, Labels: []Label{rejection},
		About: "Requests that were refused for their token.", Answers: "Is a partner locked out, or somebody guessing?"},

	{Name: Attempts, Kind: Count, Unit: "{attempt}", In: Both, Labels: []Label{provider, outcome},
		About: "Attempts to write at a provider.", Answers: "Which provider fails, and in which way?"},
	{Name: AttemptDuration, Kind: Spread, Unit: "s", In: Both, Labels: []Label{provider}, Buckets: quick,
		About: "Time of one attempt: renewing credentials, all its calls, and reading back.", Answers: "How long does a provider hold a slot?"},
	{Name: FirstAttemptDelay, Kind: Spread, Unit: "s", In: Worker, Labels: []Label{provider}, Buckets: patient,
		About: "Time from accept to the first attempt.", Answers: "How long do partners wait for us, not for the provider?"},
	{Name: Handovers, Kind: Count, Unit: "{operation}", In: Worker, Labels: []Label{handover},
		About: "Operations that the api handed to a free slot of this worker in the step that accepted them: `taken`, or `returned`, since the slot was gone " +
			"or it came late. All others wait for a message, or for their lane to be looked at.",
		Answers: "Do workers with free slots get work at once?"},
	{Name: Ended, Kind: Count, Unit: "{operation}", In: Both, Labels: []Label{provider, status, errorType},
		About: "Operations that ended, counted when the event that says so is in its stream.", Answers: "How many writes succeed, and why do the others not?"},
	{Name: OperationDuration, Kind: Spread, Unit: "s", In: Both, Labels: []Label{provider, status}, Buckets: patient,
		About: "Time from accept to the end.", Answers: "When is an update at the provider?"},

	{Name: Pending, Kind: Level, Unit: "{operation}", In: Worker, Labels: []Label{queue, state}, Sampled: true,
		About: "Operations that have not ended, by what they wait for: `ready` for a free slot, `delayed` for their backoff, `rate_limited` for the lane's " +
			"rate or its cap in flight, `blocked` for the provider's Retry-After, the breaker or an operator, `behind` for an earlier operation of the same user; " +
			"`in_flight` ones are being called.",
		Answers: "Is work waiting for us, or for providers? `ready` and `in_flight` are the signal to scale workers on."},
	{Name: OldestAge, Kind: Level, Unit: "s", In: Worker, Labels: []Label{queue}, Sampled: true,
		About: "Age of the oldest operation that has not ended, among the lanes read.", Answers: "Is anything stuck?"},

	{Name: LimitRemaining, Kind: Level, Unit: "{call}", In: Worker, Labels: []Label{provider}, Sampled: true, Rare: true,
		About: "Calls that the tightest connection of a provider may make at once under its rate; absent without work or rate.", Answers: "How close are we to a provider's limit?"},
	{Name: LimitWait, Kind: Level, Unit: "s", In: Worker, Labels: []Label{provider}, Sampled: true,
		About: "For how long the connection of a provider that waits longest still has to wait, for its rate, a Retry-After or the breaker.", Answers: "Which provider holds work back?"},
	{Name: Backoff, Kind: Spread, Unit: "s", In: Both, Labels: []Label{provider}, Buckets: slow, Rare: true,
		About: "How long a provider asked to be left alone: Retry-After, or a budget that is used up.", Answers: "Do providers throttle us?"},
	{Name: BreakerOpen, Kind: Level, Unit: "{connection}", In: Worker, Labels: []Label{provider}, Sampled: true,
		About: "Connections whose breaker is open, among the lanes read.", Answers: "Which provider is not reached?"},

	{Name: DueLanes, Kind: Level, Unit: "{lane}", In: Worker, Labels: []Label{queue}, Sampled: true,
		About: "Lanes to be looked at now.", Answers: "Do workers keep up?"},
	{Name: DueAge, Kind: Level, Unit: "s", In: Worker, Labels: []Label{queue}, Sampled: true,
		About: "For how long the lane longest due has been so.", Answers: "Does any worker work? Below 1 s is normal."},
	{Name: OutboxDepth, Kind: Level, Unit: "{operation}", In: Worker, Labels: []Label{queue}, Sampled: true,
		About: "Operations of which something is not known to be in a stream.", Answers: "Does Redis hold the only copy of something?"},
	{Name: OutboxAge, Kind: Level, Unit: "s", In: Worker, Labels: []Label{queue}, Sampled: true,
		About: "For how long the oldest entry of the outbox has been overdue, of four that are read of each shard, however often it was tried.", Answers: "Is publishing stuck?"},
	{Name: BeatAge, Kind: Level, Unit: "s", In: Worker, Labels: []Label{queue}, Sampled: true,
		About:   "For how long no process has written that it lives into the shard where that is longest ago.",
		Answers: "Does Redis take writes? Below 2 s is normal."},
	{Name: Lanes, Kind: Level, Unit: "{lane}", In: Worker, Labels: []Label{queue}, Sampled: true,
		About: "Lanes with outstanding operations.", Answers: "How many connections have work?"},
	{Name: LanesRead, Kind: Level, Unit: "{lane}", In: Worker, Labels: []Label{queue}, Sampled: true,
		About: "Lanes that the sample read. Below the number of lanes, counts over lanes are estimates.", Answers: "How exact are the other numbers?"},
	{Name: LanesBlocked, Kind: Level, Unit: "{lane}", In: Worker, Labels: []Label{queue}, Sampled: true,
		About: "Lanes that wait because a provider asked for it.", Answers: "How many connections are throttled?"},
	{Name: LanesOpen, Kind: Level, Unit: "{lane}", In: Worker, Labels: []Label{queue}, Sampled: true,
		About: "Lanes whose provider, or endpoint, is not reached.", Answers: "How many connections are cut off?"},
	{Name: LanesPaused, Kind: Level, Unit: "{lane}", In: Worker, Labels: []Label{queue}, Sampled: true,
		About: "Lanes that an operator paused, or whose webhook is not active.", Answers: "Was something left paused?"},
	{Name: ShardsMissing, Kind: Level, Unit: "{shard}", In: Worker, Labels: []Label{queue}, Sampled: true,
		About: "Shards without data, which refuse everything.", Answers: "Is part of the service closed?"},
	{Name: ShardsRebuilding, Kind: Level, Unit: "{shard}", In: Worker, Labels: []Label{queue}, Sampled: true,
		About: "Shards that a process is filling.", Answers: "Is it being repaired?"},
	{Name: ShardsUnfinished, Kind: Level, Unit: "{shard}", In: Worker, Labels: []Label{queue}, Sampled: true,
		About: "Shards whose older history is not back yet.", Answers: "Are unknown ids answered 503 still?"},
	{Name: Connections, Kind: Level, Unit: "{connection}", In: Both, Labels: []Label{provider, connectionStatus}, Sampled: true,
		About: "Connections in the directory as this process knows them, deleted ones not. `failed`: the provider refused their credentials. `locked`: the process has " +
			"not got the keyset that opens them. A provider without connections has none.",
		Answers: "Can connections not be used, because of their partners (`failed`) or of us (`locked`)?"},
	{Name: Slots, Kind: Level, Unit: "{slot}", In: Worker, Labels: []Label{queue},
		About: "Calls that this worker makes at a time.", Answers: "What is the capacity?"},
	{Name: SlotsFree, Kind: Level, Unit: "{slot}", In: Worker, Labels: []Label{queue},
		About: "Calls that this worker could make besides those under way.", Answers: "Is the capacity used up?"},
	{Name: NATSConnected, Kind: Level, Unit: "{connection}", In: Both,
		About: "1 while this process is connected to NATS, else 0.", Answers: "Is NATS there?"},
	{Name: AcksQueued, Kind: Level, Unit: "{confirmation}", In: Both, Labels: []Label{queue},
		About: "Confirmations of the streams that wait to be noted in the store.", Answers: "Is Redis too slow to note what is published?"},
	{Name: TailsDropped, Kind: Count, Unit: "{stream}", In: API, Labels: []Label{tailLoss},
		About: "Live tails that were ended before their readers went: `slow`, since too many events waited for the reader, or `streams_lost`, since the streams " +
			"that it followed were lost or have gone back.",
		Answers: "Are partners who follow live cut off, and because of them (`slow`) or of us?"},
	{Name: StreamsMissing, Kind: Level, Unit: "{stream}", In: Both, Sampled: true,
		About:   "Streams and consumers that were there and are gone; at least 1 as long as what a stream has lost is not published again. Looked for every 10 s.",
		Answers: "Did somebody delete a stream, or NATS come back without its data, and does it not mend by itself?"},
	{Name: StreamUsed, Kind: Level, Unit: "By", In: Worker, Labels: []Label{stream}, Sampled: true,
		About: "Bytes that a stream holds; read every 30 s, absent while NATS is away.", Answers: "How full are the streams?"},
	{Name: StreamLimit, Kind: Level, Unit: "By", In: Worker, Labels: []Label{stream}, Sampled: true,
		About: "Bytes that a stream may hold; absent for one without a bound.", Answers: "How much room is there? A full `OPERATIONS` or `OPERATION_EVENTS` takes nothing new."},

	{Name: Generations, Kind: Count, Unit: "{shard}", In: Both, Labels: []Label{queue, generation},
		About: "Shards that got a new generation from this process.", Answers: "Did Redis lose data? `rebuilt` is 0 in normal life."},
	{Name: Rebuilds, Kind: Count, Unit: "{shard}", In: Both, Labels: []Label{queue, result},
		About: "Rebuilds of shards from the streams that ended in this process.", Answers: "Do rebuilds work?"},
	{Name: RebuildDuration, Kind: Spread, Unit: "s", In: Both, Labels: []Label{queue}, Buckets: slow, Rare: true,
		About: "Time from taking a rebuild until its shards were open again.", Answers: "For how long were partners refused?"},
	{Name: Repairs, Kind: Count, Unit: "{repair}", In: Both, Labels: []Label{queue, repair},
		About: "Leases that ran out, records that were put back from a message, messages that the outbox published late, and what was published again for a stream that had lost it.", Answers: "Did something die? No increase in normal life."},
	{Name: DeadLetters, Kind: Count, Unit: "{message}", In: Worker, Labels: []Label{queue},
		About: "Messages that were put away: wake-ups that could not be understood, and webhook events that could not be delivered.", Answers: "Is there a bug, or an endpoint that is gone?"},

	{Name: WebhookEventAge, Kind: Level, Unit: "s", In: Worker, Sampled: true,
		About: "For how long the event that waits longest has waited to be given out to webhooks, before its deliveries are queued; read every 30 s.", Answers: "How late are webhooks before they are queued? Below 1 s is normal."},
	{Name: WebhookSends, Kind: Count, Unit: "{attempt}", In: Worker, Labels: []Label{outcome},
		About: "Sends to webhook endpoints.", Answers: "Are webhooks arriving?"},
	{Name: WebhookSendDuration, Kind: Spread, Unit: "s", In: Worker, Buckets: quick,
		About: "Time that endpoints took to answer.", Answers: "Are endpoints slow?"},
	{Name: WebhookFirstDelay, Kind: Spread, Unit: "s", In: Worker, Buckets: patient,
		About: "Time from queueing a delivery to its first send.", Answers: "How late are webhooks because of us?"},
	{Name: WebhookEnded, Kind: Count, Unit: "{delivery}", In: Worker, Labels: []Label{status, errorType},
		About: "Deliveries that ended.", Answers: "How many events get through?"},
	{Name: WebhookDuration, Kind: Spread, Unit: "s", In: Worker, Labels: []Label{status}, Buckets: patient,
		About: "Time from queueing a delivery to its end.", Answers: "When do partners know?"},
	{Name: WebhookStaled, Kind: Count, Unit: "{endpoint}", In: Worker,
		About: "Endpoints that were given up.", Answers: "Has a partner lost its webhook?"},

	{Name: SyncUsers, Kind: Count, Unit: "{user}", In: Worker, Labels: []Label{provider, syncedUser}, Rare: true,
		About: "Users that the directory sync listed: `created`, `updated`, `unchanged`; and `gone`.", Answers: "Did a fleet leave, or a permission get lost?"},
	{Name: SyncPages, Kind: Count, Unit: "{page}", In: Worker, Labels: []Label{provider, syncedPage}, Rare: true,
		About: "Pages of users that were listed: `success`, or the type of error.", Answers: "Can we list users?"},
	{Name: SyncWalks, Kind: Count, Unit: "{walk}", In: Worker, Labels: []Label{provider, syncedWalk}, Rare: true,
		About: "Walks over a connection's users that ended: `finished`, `given_up`.", Answers: "Is the directory fresh?"},

	{Name: "go.goroutine.count", Kind: UpDown, Unit: "{goroutine}", In: Both, Standard: true, Library: true,
		About: "Live goroutines.", Answers: "Is something leaking?"},
	{Name: "go.memory.used", Kind: UpDown, Unit: "By", In: Both, Standard: true, Library: true,
		Labels: []Label{{Key: "go.memory.type", Values: []string{"stack", "other"}}},
		About:  "Memory that the Go runtime uses.", Answers: "Is memory enough?"},
	{Name: "go.memory.allocated", Kind: Count, Unit: "By", In: Both, Standard: true, Library: true,
		About: "Bytes that were allocated.", Answers: "What feeds the garbage collector?"},
	{Name: "go.memory.gc.goal", Kind: UpDown, Unit: "By", In: Both, Standard: true, Library: true,
		About: "Heap size at which the next collection ends.", Answers: "How close is the limit?"},
	{Name: "go.memory.allocations", Kind: Count, Unit: "{allocation}", In: Both, Standard: true, Library: true,
		About: "Objects that were allocated.", Answers: "Is there waste?"},
	{Name: "go.memory.limit", Kind: UpDown, Unit: "By", In: Both, Standard: true, Library: true, Rare: true,
		About: "GOMEMLIMIT; absent without one.", Answers: "Where is the limit?"},
	{Name: "go.processor.limit", Kind: UpDown, Unit: "{thread}", In: Both, Standard: true, Library: true,
		About: "Threads that run Go code at once (GOMAXPROCS).", Answers: "How many cores may be used?"},
	{Name: "go.config.gogc", Kind: UpDown, Unit: "%", In: Both, Standard: true, Library: true,
		About: "How much the heap may grow between collections (GOGC).", Answers: "How is the collector set?"},
}
