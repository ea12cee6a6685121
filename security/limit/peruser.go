package limit

import "sync/atomic"

// perUserEntries is how many users a PerUser remembers: those who have just done something.
const perUserEntries = 1 << 16

// PerUserBytes is the memory of one PerUser.
const PerUserBytes = perUserEntries/ways*setBytes + perUserEntries/ways/regionSets*regionBytes

// PerUser bounds what all connections of a user do together: one bucket for each user in a Table. The anonymous user ""
// is everybody without a name and has no limit, nor has anybody of a nil PerUser. Any goroutine.
type PerUser struct {
	rate *pace
	*perUserTable
}

// perUserTable outlives the rate.
type perUserTable struct {
	table   *Table
	refused atomic.Uint64
}

// NewPerUser returns nil for a rate that is no limit. What users have spent of before, which may be nil, they have spent
// of the new one too.
func NewPerUser(r Rate, before *PerUser) *PerUser {
	if r.PerSecond == 0 {
		return nil
	}
	if before != nil {
		return &PerUser{rate: r.pace(), perUserTable: before.perUserTable}
	}
	return &PerUser{rate: r.pace(), perUserTable: &perUserTable{table: NewTable(perUserEntries, secretSeed())}}
}

// Take takes cost tokens of user's at now nanoseconds, all or none. Lock-free, no allocation.
func (p *PerUser) Take(user string, cost int, now int64) bool {
	if p == nil || user == "" || p.table.Take(User(user), p.rate, cost, now) {
		return true
	}
	p.refused.Add(1)
	return false
}

// Refused counts what was refused since there is a limit.
func (p *PerUser) Refused() uint64 {
	if p == nil {
		return 0
	}
	return p.refused.Load()
}
