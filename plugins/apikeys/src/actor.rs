//! The plugin: takes each call and hands it to the registry.

use std::sync::Arc;

use messages::{
    apikeys::{
        Authenticate, BeginTotp, ChangePassword, ChangeUser, ConfirmTotp, CreateKey, CreateUser,
        Credentials, EndTotp, ListAudit, ListKeys, ListUsers, Login, Logout, RecordAudit,
        RevokeKey, RotateKey, UpdateKey, VerifyAudit,
    },
    call::Call,
    fault::Fault,
    host::Host,
    plugin::{Answer, Exports, Plugin, Serve},
    usage::ReadUsage,
};
use store::Store;

use crate::{Clock, FirstAdmin, passwords, registry::Registry, usage};

/// Users, sessions and keys.
#[derive(Debug)]
pub struct Apikeys {
    pub(crate) registry: Registry,
}

impl Apikeys {
    /// Makes the first user if there is none, and publishes every credential that holds. Blocks
    /// for as long as that takes.
    ///
    /// # Errors
    /// What the store said.
    pub fn new(
        host: &Host,
        store: Store,
        credentials: Arc<Credentials>,
        first: &FirstAdmin,
    ) -> Result<Self, Fault> {
        let books = usage::keep_books(host.clone(), store.clone(), credentials.clone());
        let plugin = Self::with_clock(host, store, credentials, first, Clock::default())?;
        host.spawn(books);
        Ok(plugin)
    }

    /// [`Apikeys::new`] by another clock.
    ///
    /// # Errors
    /// As [`Apikeys::new`].
    pub fn with_clock(
        host: &Host,
        store: Store,
        credentials: Arc<Credentials>,
        first: &FirstAdmin,
        clock: Clock,
    ) -> Result<Self, Fault> {
        let registry = Registry::new(host, store, credentials, clock);
        passwords::decoy()?;
        registry.ensure_admin(first)?;
        registry.publish_all()?;
        Ok(Self { registry })
    }
}

impl Plugin for Apikeys {
    const NAME: &'static str = "apikeys";

    fn exports(exports: &mut impl Exports<Self>) {
        exports
            .serve::<Login>()
            .serve::<Logout>()
            .serve::<ChangePassword>()
            .serve::<BeginTotp>()
            .serve::<ConfirmTotp>()
            .serve::<EndTotp>()
            .serve::<Authenticate>()
            .serve::<CreateKey>()
            .serve::<ListKeys>()
            .serve::<RevokeKey>()
            .serve::<CreateUser>()
            .serve::<ListUsers>()
            .serve::<ChangeUser>()
            .serve::<RecordAudit>()
            .serve::<ListAudit>()
            .serve::<VerifyAudit>()
            .serve::<UpdateKey>()
            .serve::<RotateKey>()
            .serve::<ReadUsage>();
    }

    fn stopping(&mut self) {
        if let Err(why) = self.registry.write_down_usage() {
            log::error!("what was used last could not be written down: {why}");
        }
    }
}

/// Every call waits for the store, so every answer comes later.
macro_rules! serve {
    ($($message:ty => |$registry:ident, $call:ident| $answer:expr;)*) => {
        $(impl Serve<$message> for Apikeys {
            fn serve(&mut self, $call: Call<$message>) -> Answer<$message> {
                let $registry = self.registry.clone();
                Answer::later(async move {
                    // The whole call, and with it its permit, stays until the answer is there.
                    let $call = $call;
                    $answer.await
                })
            }
        })*
    };
}

serve! {
    Login => |registry, call| registry.login(call.cx.origin(), call.body);
    Logout => |registry, call| registry.logout(call.cx.origin(), call.body);
    ChangePassword => |registry, call| registry.change_password(call.cx.origin(), call.body);
    BeginTotp => |registry, call| registry.begin_totp(call.cx.origin(), call.body);
    ConfirmTotp => |registry, call| registry.confirm_totp(call.cx.origin(), call.body);
    EndTotp => |registry, call| registry.end_totp(call.cx.origin(), call.body);
    Authenticate => |registry, call| registry.authenticate(call.body);
    CreateKey => |registry, call| registry.create_key(call.cx.origin(), call.body);
    ListKeys => |registry, call| registry.list_keys(call.cx.caller());
    RevokeKey => |registry, call| registry.revoke_key(call.cx.origin(), call.body);
    CreateUser => |registry, call| registry.create_user(call.cx.origin(), call.body);
    ListUsers => |registry, call| registry.list_users(call.cx.caller());
    ChangeUser => |registry, call| registry.change_user(call.cx.origin(), call.body);
    RecordAudit => |registry, call| registry.record_audit(call.cx.origin(), call.body);
    ListAudit => |registry, call| registry.list_audit(call.cx.caller(), call.body);
    UpdateKey => |registry, call| registry.update_key(call.cx.origin(), call.body);
    RotateKey => |registry, call| registry.rotate_key(call.cx.origin(), call.body);
    ReadUsage => |registry, call| registry.read_usage(&call.cx, call.body);
    VerifyAudit => |registry, call| registry.verify_audit(call.cx.caller(), call.body);
}
