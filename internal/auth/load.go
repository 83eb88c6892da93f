package auth

// Load is how many requests the backend has and has not answered, and how many
// wait in line behind them.
func (a *Authenticator) Load() (underWay, waiting int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.running, a.line.Len()
}
