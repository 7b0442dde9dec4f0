//! Payloads in a real folder and in a real S3 server: what is kept, what is found out, what survives.

mod bucket;
mod canary;
mod crash;
mod damage;
mod folder;
mod util;
