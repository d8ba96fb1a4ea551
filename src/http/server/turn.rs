//! A request's turn on its connection: from its head to the end of its answer.

use std::{cell::Cell, rc::Rc};

use actix_web::{
    HttpMessage,
    dev::{Payload, ServiceRequest},
    http::{
        Method,
        header::{HeaderValue, UPGRADE},
    },
};

use super::{body::Pace, pulse::Pulse};

/// The connection is busy as long as this lives.
#[derive(Debug)]
pub(crate) struct Turn {
    pulse: Option<Rc<Pulse>>,
    slow: Rc<Cell<bool>>,
}

impl Turn {
    /// Begins the turn of `request`, whose body must keep `pace`.
    pub(crate) fn begin(request: &mut ServiceRequest, pace: Option<Pace>) -> Self {
        let pulse = request.request().conn_data::<Rc<Pulse>>().cloned();
        if let Some(pulse) = &pulse {
            pulse.begin();
        }
        let slow = Rc::default();
        if let Some(pace) = pace
            && !is_socket(request)
        {
            match request.take_payload() {
                Payload::None => {}
                body => {
                    let body = pace.keep(body, request.path(), Rc::clone(&slow));
                    request.set_payload(body);
                }
            }
        }
        Self { pulse, slow }
    }

    /// Whether the body came too slowly. Nothing more of it is waited for, then.
    pub(crate) fn was_slow(&self) -> bool {
        let slow = self.slow.get();
        if slow && let Some(pulse) = &self.pulse {
            pulse.leave();
        }
        slow
    }
}

/// A WebSocket's messages come in its request's body, and may be rare.
fn is_socket(request: &ServiceRequest) -> bool {
    let upgrade = request.headers().get(UPGRADE);
    let to_socket = |to: &HeaderValue| to.as_bytes().eq_ignore_ascii_case(b"websocket");
    request.method() == Method::GET && upgrade.is_some_and(to_socket)
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(pulse) = &self.pulse {
            pulse.end();
        }
    }
}
