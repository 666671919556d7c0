//! The native part of `holysheep/simulator`: a provider that misbehaves on request.

use std::io::ErrorKind;

use napi_derive::napi;
use serde_json::json;
use tokio::runtime::Runtime;

use super::errors::{OrThrow, error_record, exception};
use super::runtime::runtime;
use crate::config;
use crate::error::{Error, Kind, LocalResource};
use crate::simulator::{Options, Scenario, Simulator};

#[napi]
pub struct NativeSimulator {
    simulator: Simulator,
    runtime: &'static Runtime,
}

#[napi]
impl NativeSimulator {
    /// Starts listening. Blocks the thread, because binding a socket is quick.
    #[napi(constructor, catch_unwind)]
    pub fn new(options: String) -> napi::Result<Self> {
        let options = Options::from_json(&options).map_err(invalid)?;
        let address = format!("{}:{}", options.host, options.port);
        let runtime = runtime().or_throw()?;
        let simulator = runtime.block_on(Simulator::start(options)).map_err(|error| {
            if let Some(resource) = LocalResource::of(&error) {
                return exception(&Error::local_resource(resource));
            }
            let message = format!("the simulator cannot listen on {address}: {error}");
            let mut record = error_record(&Error::new(Kind::Internal, message));
            // Node's own code, if it has one.
            record["code"] = match error.kind() {
                ErrorKind::AddrInUse => "EADDRINUSE",
                ErrorKind::AddrNotAvailable => "EADDRNOTAVAIL",
                ErrorKind::PermissionDenied => "EACCES",
                _ => "ECONNFAILED",
            }
            .into();
            napi::Error::from_reason(record.to_string())
        })?;
        Ok(NativeSimulator { simulator, runtime })
    }

    #[napi(getter, catch_unwind)]
    pub fn url(&self) -> String {
        self.simulator.url()
    }

    #[napi(getter, catch_unwind)]
    pub fn port(&self) -> u32 {
        u32::from(self.simulator.addr().port())
    }

    #[napi(getter, catch_unwind)]
    pub fn certificate(&self) -> Option<String> {
        self.simulator.certificate_pem().map(str::to_owned)
    }

    #[napi(getter, catch_unwind)]
    pub fn open_connections(&self) -> u32 {
        self.simulator.open_connections() as u32
    }

    /// Queues scenarios for the next chat requests, one for each.
    #[napi(catch_unwind)]
    pub fn script(&self, scenarios: String) -> napi::Result<()> {
        self.simulator.script(Scenario::list_from_json(&scenarios).map_err(invalid)?);
        Ok(())
    }

    /// Sets the scenario of every request without a queued one.
    #[napi(catch_unwind)]
    pub fn set_default(&self, scenario: String) -> napi::Result<()> {
        self.simulator.set_default(Scenario::from_json(&scenario).map_err(invalid)?);
        Ok(())
    }

    /// The recorded requests, as a JSON array.
    #[napi(catch_unwind)]
    pub fn requests(&self) -> String {
        json!(self.simulator.requests()).to_string()
    }

    #[napi(catch_unwind)]
    pub fn clear(&self) {
        self.simulator.clear();
    }

    #[napi(catch_unwind)]
    pub fn reset(&self) {
        self.simulator.reset();
    }

    /// Stops listening and drops every connection.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        self.runtime.block_on(self.simulator.close());
    }
}

/// The error for an invalid scenario or option. An unknown name gets a suggestion.
fn invalid(message: String) -> napi::Error {
    exception(&Error::new(Kind::InvalidArgument, with_suggestion(&message).unwrap_or(message)))
}

/// Adds a suggestion to serde's message about an unknown field.
fn with_suggestion(message: &str) -> Option<String> {
    let (before, rest) = message.split_once("unknown field `")?;
    let (name, rest) = rest.split_once('`')?;
    // The accepted names, each in backquotes.
    let (accepted, _) = rest.split_once("; got ")?;
    let known: Vec<&str> = accepted.split('`').skip(1).step_by(2).collect();
    let suggestion = config::did_you_mean(name, &known);
    Some(format!("{before}unknown field `{name}`{suggestion}{rest}"))
}
