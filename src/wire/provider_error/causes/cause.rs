//! A row of the table of causes.

use self::Status::{Any, Client, Missing, Not429};
use crate::error::Kind;

/// A row of the table.
#[allow(dead_code, reason = "provider and source are for the reader of the table")]
pub(in crate::wire::provider_error) struct Cause {
    pub provider: &'static str,
    pub field: Field,
    pub text: Match,
    pub kind: Kind,
    pub status: Status,
    pub source: &'static str,
}

/// What a row compares, in lower case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::wire::provider_error) enum Field {
    /// The code, the inner code or the type.
    Code,
    /// The message.
    Message,
    /// The code, the type or the message: gateways quote the codes of their providers.
    Anywhere,
    /// MiniMax's `base_resp.status_code`.
    BaseCode,
    /// A wait in the body. Not compared with a text.
    Wait,
}

/// How a row compares. All texts are in lower case.
#[derive(Clone, Copy, Debug)]
pub(in crate::wire::provider_error) enum Match {
    /// The whole field.
    Is(&'static str),
    /// A part of it.
    Has(&'static str),
    /// Several parts, wherever they are.
    All(&'static [&'static str]),
}

/// With which HTTP statuses a row matches. An error without a status comes from inside a stream.
#[derive(Clone, Copy, Debug)]
pub(in crate::wire::provider_error) enum Status {
    Any,
    /// Any but 429, or none: relays turn the status of their provider into 5xx.
    Not429,
    /// 4xx but not 429, or none.
    Client,
    /// One of these, or none.
    Of(&'static [u16]),
    /// None.
    Missing,
}

impl Status {
    pub fn allows(self, status: Option<u16>) -> bool {
        let Some(status) = status else { return true };
        match self {
            Any => true,
            Not429 => status != 429,
            Client => (400..500).contains(&status) && status != 429,
            Status::Of(statuses) => statuses.contains(&status),
            Missing => false,
        }
    }
}

pub(super) const fn cause(
    provider: &'static str,
    field: Field,
    text: Match,
    kind: Kind,
    status: Status,
    source: &'static str,
) -> Cause {
    Cause { provider, field, text, kind, status, source }
}

/// Sources that several tables cite.
pub(super) mod source {
    pub const BAIDU: &str = "cloud.baidu.com/doc/qianfan: error codes";
    pub const DASHSCOPE: &str = "alibabacloud.com/help/en/model-studio/error-code";
    pub const MINIMAX: &str = "platform.minimax.io/docs/api-reference/errorcode";
    pub const VOLCENGINE: &str = "volcengine.com/docs/82379/1299023";
    pub const ZHIPU: &str = "docs.bigmodel.cn/cn/api/api-code";
}
