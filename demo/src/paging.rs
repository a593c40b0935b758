//! Which part of a list is wanted: `?skip=0&limit=100` on doctors, patients and institutions,
//! `?page=1&limit=10` on admins. A value that is no number in range is a 422, as in FastAPI.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde_json::{Value, json};

use crate::problem::{Fault, Problem};

/// The rows to leave out and the most rows to answer.
pub(crate) struct Paging {
    pub(crate) skip: i64,
    pub(crate) limit: i64,
}

/// The query of a list with numbered pages, read when the route's own limits are known.
pub(crate) struct Pages(HashMap<String, String>);

/// One numbered page.
pub(crate) struct Page {
    pub(crate) page: i64,
    pub(crate) limit: i64,
}

impl<S: Send + Sync> FromRequestParts<S> for Paging {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = query(parts, state).await?;
        let mut faults = Vec::new();
        let skip = number(&query, "skip", 0, 0..=i64::MAX, &mut faults);
        let limit = number(&query, "limit", 100, 0..=i64::MAX, &mut faults);
        if faults.is_empty() { Ok(Self { skip, limit }) } else { Err(Problem::unfit(faults)) }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Pages {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        query(parts, state).await.map(Self)
    }
}

impl Pages {
    /// The page that is asked for, `limit` rows long unless the query says otherwise.
    pub(crate) fn page(&self, limit: i64) -> Result<Page, Problem> {
        let mut faults = Vec::new();
        let page = number(&self.0, "page", 1, 1..=1_000_000, &mut faults);
        let limit = number(&self.0, "limit", limit, 1..=100, &mut faults);
        if faults.is_empty() { Ok(Page { page, limit }) } else { Err(Problem::unfit(faults)) }
    }

    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }
}

impl Page {
    pub(crate) fn skip(&self) -> i64 {
        (self.page - 1) * self.limit
    }
}

async fn query<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<HashMap<String, String>, Problem> {
    let query = Query::from_request_parts(parts, state).await;
    let Query(query) = query.map_err(|_| Problem::bad_request("La consulta no se puede leer"))?;
    Ok(query)
}

fn number(
    query: &HashMap<String, String>,
    name: &str,
    default: i64,
    range: RangeInclusive<i64>,
    faults: &mut Vec<Value>,
) -> i64 {
    let Some(text) = query.get(name) else { return default };
    let fault = match text.parse::<i64>() {
        Ok(number) if range.contains(&number) => return number,
        Ok(number) if number < *range.start() => {
            let least = range.start();
            Fault::new("greater_than_equal", format!("Input should be greater than or equal to {least}"))
                .with(json!({ "ge": least }))
        }
        Ok(_) => {
            let most = range.end();
            Fault::new("less_than_equal", format!("Input should be less than or equal to {most}"))
                .with(json!({ "le": most }))
        }
        Err(_) => Fault::new("int_parsing", "Input should be a valid integer, unable to parse string as an integer"),
    };
    faults.push(fault.at(&[json!("query"), json!(name)]));
    default
}
