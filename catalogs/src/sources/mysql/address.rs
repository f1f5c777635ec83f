//! Where a server is and how a connection to it is opened: which addresses, encrypted or not, in which time.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use engine::Error;
use mysql::{Conn, DriverError, Opts, OptsBuilder};

use super::options::Settings;

/// How long a connection may be silent before the system asks whether the other side still lives.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// The largest packet that the protocol allows. Without it the client asks the server at every connection.
const LARGEST_PACKET: usize = 1 << 30;

/// How a connection is opened.
pub(super) struct Address {
    options: Opts,
    /// Where an encrypted connection is preferred and another will do.
    plain: Option<Opts>,
    /// The name and port to look up. None for a Unix socket.
    host: Option<(String, u16)>,
    patience: Duration,
}

impl Address {
    pub(super) fn new(settings: &Settings) -> Result<Self, Error> {
        let is_local = settings.is_local_socket();
        let tls = if is_local { None } else { settings.tls.options(settings.authorities.as_deref())? };
        let millis = |time: Duration| u32::try_from(time.as_millis()).ok();
        let attributes = HashMap::from([("program_name", "weft")]);
        let mut options = OptsBuilder::new()
            .tcp_port(settings.port)
            .user(Some(&settings.user))
            .pass(settings.password.as_ref())
            .db_name(Some(&settings.database))
            .prefer_socket(false)
            .max_allowed_packet(Some(LARGEST_PACKET))
            .stmt_cache_size(0)
            .tcp_connect_timeout(Some(settings.connect_timeout))
            .tcp_keepalive_time_ms(millis(KEEPALIVE))
            .connect_attrs(Some(attributes));
        #[cfg(target_os = "linux")]
        {
            options = options
                .tcp_user_timeout_ms(millis(KEEPALIVE))
                .tcp_keepalive_probe_interval_secs(u32::try_from(KEEPALIVE.as_secs() / 3).ok())
                .tcp_keepalive_probe_count(Some(3));
        }
        options = if is_local {
            options.socket(Some(&settings.host))
        } else if settings.host.contains(':') {
            options.ip_or_hostname(Some(format!("[{}]", settings.host)))
        } else {
            options.ip_or_hostname(Some(&settings.host))
        };
        let plain = (tls.is_some() && settings.tls.takes_plain()).then(|| Opts::from(options.clone()));
        let host = (!is_local).then(|| (settings.host.clone(), settings.port));
        Ok(Self { options: options.ssl_opts(tls).into(), plain, host, patience: settings.connect_timeout })
    }

    /// Connects in the time that there is. The client bounds only a part of it: a server that accepts and then says nothing would
    /// hold its thread for ever, and the place in the pool with it.
    pub(super) fn connect(self: &Arc<Self>) -> Result<Conn, mysql::Error> {
        let (sender, connected) = sync_channel(1);
        let address = Arc::clone(self);
        let connect = move || drop(sender.send(address.connect_patiently()));
        thread::Builder::new().name("weft-mysql-connect".to_owned()).spawn(connect)?;
        match connected.recv_timeout(self.patience) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => Err(DriverError::ConnectTimeout.into()),
            Err(RecvTimeoutError::Disconnected) => Err(DriverError::SetupError.into()),
        }
    }

    fn connect_patiently(&self) -> Result<Conn, mysql::Error> {
        match (self.connect_with(&self.options), &self.plain) {
            (Err(mysql::Error::TlsError(_) | mysql::Error::DriverError(DriverError::TlsNotSupported)), Some(plain)) => {
                self.connect_with(plain)
            }
            (connected, _) => connected,
        }
    }

    /// The client gives a name up at its first address that fails, unless it is told which family to connect from.
    fn connect_with(&self, options: &Opts) -> Result<Conn, mysql::Error> {
        let Some(host) = &self.host else { return Conn::new(options.clone()) };
        let mut families: Vec<SocketAddr> = Vec::new();
        for address in host.to_socket_addrs()? {
            let any = match address {
                SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
                SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
            };
            if !families.contains(&any) {
                families.push(any);
            }
        }
        let mut result = Err(mysql::Error::DriverError(DriverError::CouldNotConnect(None)));
        for family in families {
            result = Conn::new(OptsBuilder::from_opts(options.clone()).bind_address(Some(family)));
            let is_unreached = matches!(
                result,
                Err(mysql::Error::DriverError(DriverError::CouldNotConnect(_) | DriverError::ConnectTimeout))
            );
            if !is_unreached {
                break;
            }
        }
        result
    }
}
