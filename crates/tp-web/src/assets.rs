//! Style sheet, script and mark: embedded, named by their content, kept by browsers for ever.

use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};

use tp_domain::hex::hex;

use crate::app::App;
use crate::error::WebError;

/// The embedded files under their hashed names.
#[derive(Debug)]
pub(crate) struct Assets {
    pub(crate) css: Asset,
    pub(crate) js: Asset,
    pub(crate) icon: Asset,
}

#[derive(Debug)]
pub(crate) struct Asset {
    name: String,
    kind: &'static str,
    body: &'static [u8],
}

impl Asset {
    fn new(stem: &str, ending: &str, kind: &'static str, body: &'static [u8]) -> Self {
        let hash = hex(&Sha256::digest(body)[..6]);
        Self { name: format!("{stem}.{hash}.{ending}"), kind, body }
    }

    pub(crate) fn href(&self) -> String {
        format!("/assets/{}", self.name)
    }
}

impl Assets {
    pub(crate) fn embedded() -> Self {
        let css = include_bytes!("../static/app.css");
        let js = include_bytes!("../static/app.js");
        let icon = include_bytes!("../static/favicon.svg");
        Self {
            css: Asset::new("app", "css", "text/css; charset=utf-8", css),
            js: Asset::new("app", "js", "text/javascript; charset=utf-8", js),
            icon: Asset::new("favicon", "svg", "image/svg+xml", icon),
        }
    }
}

pub(crate) async fn asset(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Response, WebError> {
    let all = [&app.assets.css, &app.assets.js, &app.assets.icon];
    let asset = all.into_iter().find(|asset| asset.name == name).ok_or(WebError::NotFound)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
    ];
    Ok((headers, asset.body).into_response())
}
