package app

import "belfry/internal/config"

// Reload takes over what a running gateway can, and returns the keys that it
// has taken over and those that differ but need a restart. Those keep their
// old value, here and in what a later Reload compares with. The certificate of
// public.tls is read anew in any case.
//
// log.level is the caller's to set, as the logger is.
func (a *App) Reload(o config.Options) (applied, needRestart []string) {
	old := a.options.Load()
	o.Data = absolute(o.Data)
	applied, needRestart = config.Changed(*old, o)

	now := *old
	now.Public.Origins, now.Public.Cookie = o.Public.Origins, o.Public.Cookie
	now.TrustedProxies = o.TrustedProxies
	now.Auth, now.Limits, now.EventSource = o.Auth, o.Limits, o.EventSource
	now.API, now.Metrics, now.Log.Level = o.API, o.Metrics, o.Log.Level
	now.Drain, now.DrainDelay = o.Drain, o.DrainDelay
	a.options.Store(&now)

	if a.internal != nil {
		a.setAccess(&now, a.internal.address)
	}
	if r := a.rooms.Load(); r != nil {
		r.auth.SetLimits(now.Auth)
		r.authorize.SetLimits(now.Auth)
		r.transport.SetLimits(now.Limits.Connections, now.Limits.Queue)
	}
	if a.cert != nil {
		if err := a.cert.reload(); err != nil {
			a.log.Error("the certificate stays as it was", "err", err)
		}
	}
	return applied, needRestart
}
