# A tick of retraining each morning, by Airflow 3 with its standard provider, on a Ray cluster that is there. To use it:
#
#   airflow connections import raytl.json    # {"raytl": {"conn_type": "generic", "host": "http://head:8265", "password": "TOKEN"}}
#   cp clusters/airflow-retrain.py "$AIRFLOW_HOME/dags/"
#   airflow dags test retrain
#
# To change: the schedule, and what is written in capitals: raytl of a virtual environment of its own, the experiment, which
# names its registry (retrain.registry) and where data and runs lie, all as the cluster sees them. The address and the token
# are in the connection `raytl`, or in a secrets backend under that name; keys of buckets and webhooks are the cluster's.
#
# A tick that promotes, keeps, rejects or skips ends with 0, as does one that finds another at work: the task is green. One
# that failed ends with 1, and the champion is as it was. A retry attaches to a tick that still runs (Airflow's worker was lost),
# and else begins one that goes on from where the last stopped.
"""The DAG `retrain`: one task, a tick."""

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

RAYTL = "/opt/raytl/.venv/bin/raytl"
EXPERIMENT = "/etc/raytl/experiment.yaml"

with DAG(
    "retrain",
    schedule="0 6 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,  # a tick takes all that came since the last one
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
