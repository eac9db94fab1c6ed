package box

import (
	"slices"
	"strings"
	"time"

	"writeback/internal/sandbox"
)

// geotabRulesets are the values of User.hosRuleSet; on the row that sets one the
// name carries the prefix.
var geotabRulesets = strings.Fields(`
AlaskaPassenger7Day AlaskaPassenger8Day AlaskaProperty7Day AlaskaProperty7DaySleeper AlaskaProperty8Day
AlaskaProperty8DaySleeper America7Day America7DayBig America7DayBigSleeper America7DayNo34h
America7DayNo34hSleeper America7DayPassenger America7DayRailroad America7DaySleeper America8Day America8DayBig
America8DayBigSleeper America8DayNo34h America8DayNo34hSleeper America8DayPassenger America8DayRailroad
America8DaySleeper AmericaNoRestRequirement7Day AmericaNoRestRequirement7DayBig
AmericaNoRestRequirement7DayBigSleeper AmericaNoRestRequirement7DaySleeper AmericaNoRestRequirement8Day
AmericaNoRestRequirement8DayBig AmericaNoRestRequirement8DayBigSleeper AmericaNoRestRequirement8DaySleeper
AmericaNonCdlShortHaul7Day AmericaNonCdlShortHaul8Day AmericaSalesperson AmericaSalespersonNonCdlShortHaul
AmericaShortHaul AmericaShortHaul14hrWorkday AmericaShortHaul8Day AmericaShortHaul8Day14hrWorkday
AmericaShortHaul8DayNo34h AmericaShortHaulNo34h AmericaShortHaulPassenger AmericaShortHaulPassenger8Day
AmericaTexas AmericaTexasShortHaul AmericaTexasShortHaul8Day AustraliaStandardHoursSoloExemptionHours
BrazilShortHaul California8day CaliforniaFarmProduct CaliforniaFarmProductWithRestRequirement
CaliforniaFlammableLiquid CaliforniaFlammableLiquidWithRestRequirement CaliforniaPassenger CaliforniaProperty
CaliforniaPropertyShortHaul CaliforniaPropertyShortHaulWithRest CaliforniaSchoolPupil
CaliforniaSchoolPupilWithRestRequirement CanadaCycleOne CanadaCycleOneTeam CanadaCycleTwo CanadaCycleTwoTeam
CanadaNorthOf60CycleOne CanadaNorthOf60CycleOneTeam CanadaNorthOf60CycleTwo CanadaNorthOf60CycleTwoTeam
CanadaNorthOf60Oil CanadaNorthOf60OilTeam CanadaOil CanadaOilTeam CarrierExemption Florida7Day Florida8Day
FloridaShortHaul7Day FloridaShortHaul8Day MarylandShortHaul7Day MarylandShortHaul8Day Nebraska7day
Nebraska8day None None8Day NoneCanada NoneCanadaNorthOf60 NorthDakota7Day NorthDakotaShortHaul7Day
OilTransport7Day OilTransport7DayBig OilTransport7DayBigSleeper OilTransport7DaySleeper OilTransport8Day
OilTransport8DayBig OilTransport8DayBigSleeper OilTransport8DaySleeper OilTransportCalifornia8day
OilTransportCaliforniaProperty OilTransportNoRestRequirement7Day OilTransportNoRestRequirement7DayBig
OilTransportNoRestRequirement7DayBigSleeper OilTransportNoRestRequirement7DaySleeper
OilTransportNoRestRequirement8Day OilTransportNoRestRequirement8DayBig
OilTransportNoRestRequirement8DayBigSleeper OilTransportNoRestRequirement8DaySleeper OilTransportShortHaul
OilTransportShortHaul14hrWorkday OilTransportShortHaul8Day OilTransportShortHaul8Day14hrWorkday
OilTransportTexas OilWell7Day OilWell7DayBig OilWell7DayBigSleeper OilWell7DaySleeper OilWell8Day
OilWell8DayBig OilWell8DayBigSleeper OilWell8DaySleeper OilWellCalifornia8day OilWellCaliforniaProperty
OilWellNoRestRequirement7Day OilWellNoRestRequirement7DayBig OilWellNoRestRequirement7DayBigSleeper
OilWellNoRestRequirement7DaySleeper OilWellNoRestRequirement8Day OilWellNoRestRequirement8DayBig
OilWellNoRestRequirement8DayBigSleeper OilWellNoRestRequirement8DaySleeper OilWellTexas Oregon7day Oregon8day
SouthCarolina7Day SouthCarolina8Day WashingtonIntrastate7Day WashingtonIntrastate8Day`)

const rulesetPrefix = "HosRuleSet"

// ruleRow is one dated ruleset of a user.
type ruleRow struct {
	from time.Time
	name string
}

// seedRows are those of a seeded user.
var seedRows = []ruleRow{{from: sandbox.SeedTime, name: "America8Day"}}

// rowsOf gives the rows of a user, whose lock is held.
func rowsOf(u *sandbox.User) []ruleRow {
	if rows, ok := u.State.([]ruleRow); ok {
		return rows
	}
	return seedRows
}

// currentRule is the row in force: of those that have begun, the one that began
// last, and of equals the one added last.
func currentRule(rows []ruleRow, now time.Time) string {
	name, from := "None", time.Time{}
	for _, row := range rows {
		if !row.from.After(now) && !row.from.Before(from) {
			name, from = row.name, row.from
		}
	}
	return name
}

// addRule keeps the rows small: what has begun and is not in force can never
// matter again. The rows given are not changed.
func addRule(rows []ruleRow, row ruleRow, now time.Time) []ruleRow {
	out := make([]ruleRow, 0, len(rows)+1)
	latest := -1
	for _, r := range append(slices.Clone(rows), row) {
		switch {
		case r.from.After(now):
			out = append(out, r)
		case latest < 0:
			latest = len(out)
			out = append(out, r)
		case !r.from.Before(out[latest].from):
			out[latest] = r
		}
	}
	return out
}

// rulesetName takes the prefix off a row's id and reports whether it is known.
func rulesetName(id string) (string, bool) {
	name, prefixed := strings.CutPrefix(id, rulesetPrefix)
	return name, prefixed && slices.Contains(geotabRulesets, name)
}
