package natsq

// Headers of a dead letter: why it is one, and the subject that it came from.
const (
	HeaderReason  = "Writeback-Reason"
	HeaderSubject = "Writeback-Subject"
)
