package auth

// remembered is an accepted Result, as small as can be: there is one for each
// token that the backend lets us remember. Most replies name a user and no more.
type remembered struct {
	user  string
	reply []byte
	more  *Identity // nil: there is no more to it than the user
}

func remember(r Result) remembered {
	known := remembered{user: r.Identity.User, reply: r.Reply}
	if i := r.Identity; i.Channels != nil || i.Start != "" || !i.ExpiresAt.IsZero() {
		known.more = &i
	}
	return known
}

func (known remembered) result() Result {
	r := Result{Outcome: Accepted, Identity: Identity{User: known.user}, Reply: known.reply}
	if known.more != nil {
		r.Identity = *known.more
	}
	return r
}
