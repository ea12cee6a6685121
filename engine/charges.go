package engine

import (
	"weir/engine/clientproto"
	"weir/engine/stats"
	"weir/security/limit"
)

// userRates are the buckets of users; nil is no limit.
type userRates struct{ messages, bytes, subscribes, connects *limit.PerUser }

// userRates takes them from cfg. What users have spent of before stays spent.
func (cfg *Config) userRates(before userRates) userRates {
	l := &cfg.Limits
	of := func(perSecond float64, before *limit.PerUser) *limit.PerUser {
		if r := rate(perSecond); r != nil {
			return limit.NewPerUser(*r, before)
		}
		return nil
	}
	return userRates{
		messages: of(l.UserMessageRate, before.messages), bytes: of(l.UserByteRate, before.bytes),
		subscribes: of(l.UserSubscribeRate, before.subscribes), connects: of(l.UserConnectRate, before.connects),
	}
}

// overRate charges the buckets that a method has beside that of all messages. It
// returns the limit that was hit.
func (s *shard) overRate(c *conn, m clientproto.Method) (limit string) {
	switch m {
	case clientproto.Subscribe:
		if !take(&s.charged(c).subscribes, s.rates.subscribes, 1, s.now) {
			return limitSubscribes
		}
		if !s.userTakes(c, s.byUser.subscribes, 1) {
			return limitUserSubscribes
		}
	case clientproto.Publish:
		if !take(&s.charged(c).publishes, s.rates.publishes, 1, s.now) {
			return limitPublishes
		}
	}
	return ""
}

// userTakes charges the bucket of c's user; nil is no limit.
func (s *shard) userTakes(c *conn, b *limit.PerUser, cost int) bool {
	return b == nil || c.exempt || b.Take(c.session.User(), cost, s.now)
}

// admitUser counts the connection among those of its session's user. It returns
// the limit that was hit.
func (s *shard) admitUser(c *conn) (limit string) {
	if c.exempt {
		return ""
	}
	if !s.userTakes(c, s.byUser.connects, 1) {
		return limitUserConnects
	}
	if c.counted = s.users.Admit(c.session.User()); !c.counted {
		return limitUser
	}
	return ""
}

// userSources are the figures of the buckets of users.
func (s *Server) userSources() (list []stats.Source) {
	for _, l := range []struct {
		label string
		of    func(*userRates) *limit.PerUser
	}{
		{limitUserMessages, func(u *userRates) *limit.PerUser { return u.messages }},
		{limitUserBytes, func(u *userRates) *limit.PerUser { return u.bytes }},
		{limitUserSubscribes, func(u *userRates) *limit.PerUser { return u.subscribes }},
		{limitUserConnects, func(u *userRates) *limit.PerUser { return u.connects }},
	} {
		list = append(list, stats.Source{Name: "weir_user_limit_refused_total", Help: "What was refused for a limit of all connections of a user.",
			Kind: stats.SourceCounter, Label: [2]string{"limit", l.label},
			Read: func() float64 { return float64(l.of(&s.policy.Load().byUser).Refused()) }})
	}
	return list
}
