//! How work runs: start, claim, heartbeat, retry, finish, reap.
