# A retraining tick every morning on an existing Ray cluster, started by Airflow 3 with its standard provider. Usage:
#
#   airflow connections import raytl.json    # {"raytl": {"conn_type": "generic", "host": "http://head:8265", "password": "TOKEN"}}
#   cp clusters/airflow-retrain.py "$AIRFLOW_HOME/dags/"
#   airflow dags test retrain
#
# To change: the schedule and the constants in capitals: raytl from its own virtual environment, and the experiment, which sets
# the registry (retrain.registry), data and runs as the cluster sees them. The address and the token are in the connection
# `raytl`, or in a secrets backend under that name; the credentials of buckets and webhooks are on the cluster.
#
# A tick that promotes, keeps, rejects or skips exits with 0, as does one that finds another tick running: the task succeeds. A
# failed tick exits with 1 and leaves the champion unchanged. A retry attaches to a tick that still runs (if Airflow's worker was
# lost), or else starts one that resumes the failed one.
"""The DAG `retrain`, with one task: a retraining tick."""

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

RAYTL = "/opt/raytl/.venv/bin/raytl"
EXPERIMENT = "/etc/raytl/experiment.yaml"

with DAG(
    "retrain",
    schedule="0 6 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,  # a tick includes all data since the previous one
    max_active_runs=1,
    tags=["raytl"],
):
    BashOperator(
        task_id="tick",
        bash_command=f"exec {RAYTL} submit retrain {EXPERIMENT} --code image --wait",
        env={
            "RAY_API_SERVER_ADDRESS": "{{ conn.raytl.host }}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": "{{ conn.raytl.password }}",
        },
        append_env=True,
        retries=1,
        retry_delay=timedelta(minutes=30),
        execution_timeout=timedelta(hours=23),
    )
