//! `hardneg health`: asks grpc.health.v1 for the status, for probes of orchestrators.

use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::cli::{exit::NotServing, flags::connection::Connection, output::print};
use crate::client::Error as ClientError;

const EXAMPLES: &str = "\
Examples:
  hardneg health && echo serving
  hardneg health --server http://10.0.0.7:50051 --timeout 1s --quiet";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Args {
    /// A service, for example hardneg.v1.MiningService [default: the server as a whole]
    #[arg(long, default_value = "", hide_default_value = true)]
    service: String,
    /// Print nothing when the server is serving
    #[arg(long, short)]
    quiet: bool,
}

pub(super) async fn run(connection: &Connection, args: &Args) -> anyhow::Result<()> {
    let mut options = connection.options();
    options.connect_timeout = options.connect_timeout.min(options.timeout);
    let client = crate::client::Client::connect_with(&connection.server, options).await?;
    let mut request = tonic::Request::new(HealthCheckRequest { service: args.service.clone() });
    request.set_timeout(connection.timeout);
    let mut health = HealthClient::new(client.channel());
    let answer = tokio::time::timeout(connection.timeout, health.check(request))
        .await
        .map_err(|_| NotServing(format!("no answer within {:?}", connection.timeout)))?;
    match answer {
        Ok(answer) if answer.get_ref().status() == tonic_health::ServingStatus::Serving.into() => {
            if !args.quiet {
                print("SERVING\n")?;
            }
            Ok(())
        }
        Ok(answer) => {
            Err(NotServing(format!("the server answers {}", answer.get_ref().status().as_str_name())).into())
        }
        Err(status) if status.code() == Code::NotFound => {
            Err(NotServing(format!("the server does not know the service {:?}", args.service)).into())
        }
        Err(status) => Err(ClientError::from(status).into()),
    }
}
