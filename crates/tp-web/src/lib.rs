//! Everything a browser or an API client meets.
