//! Owns the seam behind which CloudWatch sits: what is asked and what comes back, as values. Refuses
//! to know the SDK; the simulated day and the benchmark stand behind the same seam.

use crate::domain::cloudwatch::Batch;
use crate::domain::cloudwatch::Series;
use crate::domain::cloudwatch::found::Wish;
use crate::domain::time::Wall;
use crate::io::credentials::fault::Fault;

/// CloudWatch. One call is one request; nobody behind it tries again.
pub trait Ask: Clone + Send + Sync + 'static {
    /// One page of GetMetricData; a query's number is its place in the batch.
    fn data(
        &self,
        batch: &Batch,
        token: Option<&str>,
    ) -> impl Future<Output = Result<Page, Refused>> + Send;

    /// One page of ListMetrics.
    fn list(
        &self,
        wish: Wish,
        token: Option<&str>,
    ) -> impl Future<Output = Result<Listing, Refused>> + Send;
}

/// A call that was not answered.
#[derive(Debug, Clone)]
pub struct Refused {
    /// What it amounts to.
    pub fault: Fault,
    /// For a person.
    pub text: String,
}

/// One page of values.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Results, some of the queries', in any order.
    pub results: Vec<Given>,
    /// What CloudWatch has to say beside, code and text.
    pub messages: Vec<(String, String)>,
    /// There is another page.
    pub next: Option<String>,
}

/// Values of one query.
#[derive(Debug, Clone)]
pub struct Given {
    /// The query's place in the batch; `None` for an id that is none of ours.
    pub index: Option<usize>,
    /// How whole it is.
    pub status: ResultStatus,
    /// Values at the start of their periods.
    pub values: Vec<(Wall, f64)>,
    /// What CloudWatch has to say of it, code and text.
    pub messages: Vec<(String, String)>,
}

/// One page of metrics that there are.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Those that were wished for, as series.
    pub series: Vec<Series>,
    /// There is another page.
    pub next: Option<String>,
}

/// How complete CloudWatch calls one query's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultStatus {
    /// All of them.
    Complete,
    /// More follow, on the next page or when asked again; these hold.
    Partial,
    /// CloudWatch failed; values there are hold.
    InternalError,
    /// Not allowed.
    Forbidden,
    /// A word newer than this code, or none.
    Other,
}

impl ResultStatus {
    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Partial => "partial_data",
            Self::InternalError => "internal_error",
            Self::Forbidden => "forbidden",
            Self::Other => "other",
        }
    }
}
