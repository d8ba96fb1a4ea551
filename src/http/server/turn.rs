//! A request's turn on its connection: from its head to the end of its answer.

use std::{cell::Cell, rc::Rc};

use actix_web::{
    HttpMessage,
    dev::{Payload, ServiceRequest},
};

use super::{body::Pace, head, pulse::Pulse};
use crate::http::error::Problem;

/// The connection is busy as long as this lives.
#[derive(Debug)]
pub(crate) struct Turn {
    pulse: Option<Rc<Pulse>>,
    slow: Rc<Cell<bool>>,
    last: Cell<bool>,
}

impl Turn {
    /// Begins the turn of `request`, whose body must keep `pace`.
    pub(crate) fn begin(request: &mut ServiceRequest, pace: Option<Pace>) -> Self {
        let pulse = request.request().conn_data::<Rc<Pulse>>().cloned();
        let slow = Rc::default();
        if let Some(pulse) = &pulse {
            pulse.begin();
        }
        match request.take_payload() {
            Payload::None => {}
            body => {
                if let Some(pulse) = &pulse {
                    pulse.expect_body(true);
                }
                let body = match pace {
                    // A WebSocket's messages may be rare.
                    Some(pace) if !head::is_socket(request) => {
                        let path = request.match_info().as_str().to_owned();
                        pace.keep(body, &path, Rc::clone(&slow), pulse.clone())
                    }
                    _ => body,
                };
                request.set_payload(body);
            }
        }
        let last = Cell::new(false);
        Self { pulse, slow, last }
    }

    /// Refuses a head that is malformed. Nothing that follows it can be trusted.
    pub(crate) fn check(&self, request: &ServiceRequest) -> Result<(), Problem> {
        head::check(request).inspect_err(|_| self.leave())
    }

    /// Whether the body came too slowly. Nothing more of it is waited for, then.
    pub(crate) fn was_slow(&self) -> bool {
        let slow = self.slow.get();
        if slow {
            self.leave();
        }
        slow
    }

    /// Whether the connection is closed after this answer.
    pub(crate) fn is_last(&self) -> bool {
        self.last.get()
    }

    fn leave(&self) {
        self.last.set(true);
        if let Some(pulse) = &self.pulse {
            pulse.leave();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(pulse) = &self.pulse {
            pulse.end();
        }
    }
}
