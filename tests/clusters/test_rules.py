"""Every cluster file follows the rules, and each rule detects a violation."""

from __future__ import annotations

import pytest

from tests.clusters import rules
from tests.clusters.files import KUBERAY, LAUNCHER, SCHEDULES, SCRIPTS, SERVING, STARTERS, text_of

ALL = (
    *LAUNCHER,
    *KUBERAY,
    *SCHEDULES[2:],
    *SCRIPTS,
    *SERVING,
    "local.yaml",
    "aws-iam.yaml",
    "Dockerfile",
    "serve-requirements.txt",
)
APPLIES: dict[rules.Rule, tuple[str, ...]] = {
    rules.has_usage: ALL,
    rules.asks_for_a_token: (*STARTERS, *rules.AIRFLOW, "Dockerfile"),
    rules.keeps_the_dashboard_in: STARTERS,
    rules.holds_no_secret: ALL,
    rules.is_calm: (*STARTERS, "Dockerfile"),
    rules.caches_locally: (*STARTERS, "Dockerfile"),
    rules.heads_stay: (*LAUNCHER, *KUBERAY),
    rules.asks_for_what_it_takes: KUBERAY,
    rules.leaves_in_order: KUBERAY,
    rules.shares_memory: KUBERAY,
    rules.is_unprivileged: KUBERAY,
    rules.jobs_end: tuple(name for name in KUBERAY if name.endswith("job.yaml")),
    rules.asks_little_of_kubernetes: ("kuberay-cronjob.yaml",),
    rules.retrains: tuple(name for name in SCHEDULES if name != "retrain.timer"),
    rules.ticks_do_not_pile_up: tuple(name for name in SCHEDULES if name != "kuberay-raycronjob.yaml"),
    rules.failures_are_told: tuple(name for name in SCHEDULES if name != "retrain.timer"),
}
AWS, GCP, JOB, CLUSTER = "aws.yaml", "gcp.yaml", "kuberay-rayjob.yaml", "kuberay-raycluster.yaml"
CRON, RAY_CRON = "kuberay-cronjob.yaml", "kuberay-raycronjob.yaml"
DAG, SERVICE, TIMER, CRONTAB = "airflow-retrain.py", "retrain.service", "retrain.timer", "retrain.crontab"
BROKEN: list[tuple[rules.Rule, str, str, str]] = [
    (rules.has_usage, AWS, "# To change:", "# Change:"),
    (rules.has_usage, JOB, "kubectl apply -f clusters/kuberay-rayjob.yaml", "kubectl apply"),
    (rules.has_usage, "slurm.sh", "clusters/slurm.sh train", "x.sh train"),
    (rules.asks_for_a_token, AWS, "RAY_AUTH_MODE=token", "RAY_AUTH_MODE=disabled"),
    (rules.asks_for_a_token, GCP, "~/.ray/auth_token: ~/.ray/auth_token", "~/x: ~/x"),
    (rules.asks_for_a_token, AWS, " && chmod 600 ~/.ray/auth_token", ""),
    (rules.asks_for_a_token, JOB, "mode: token", "mode: disabled"),
    (rules.asks_for_a_token, CLUSTER, "secretKeyRef", "configMapKeyRef"),
    (rules.asks_for_a_token, "slurm.sh", "umask 077", "umask 022"),
    (rules.asks_for_a_token, "slurm.sh", "RAY_AUTH_TOKEN_PATH=$HOME", "X=$HOME"),
    (rules.asks_for_a_token, "Dockerfile", "RAY_AUTH_MODE=token", "RAY_AUTH_MODE=disabled"),
    (rules.keeps_the_dashboard_in, AWS, "--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0"),
    (rules.keeps_the_dashboard_in, "slurm.sh", "--dashboard-host=127.0.0.1", ""),
    (rules.keeps_the_dashboard_in, JOB, "serviceType: ClusterIP", "serviceType: LoadBalancer"),
    (rules.keeps_the_dashboard_in, CLUSTER, "enableIngress: false", "enableIngress: true"),
    (rules.keeps_the_dashboard_in, CLUSTER, "kind: NetworkPolicy", "kind: ConfigMap"),
    (rules.keeps_the_dashboard_in, JOB, "    - from:\n        - namespaceSelector: {}\n          podSelector:\n            matchLabels:\n              app.kubernetes.io/name: kuberay-operator\n      ports", "    - ports"),
    (rules.holds_no_secret, AWS, "provider:", "# AKIAABCDEFGHIJKLMNOP\nprovider:"),
    (rules.holds_no_secret, GCP, "provider:", "x: {aws_secret_access_key: abcdefghijklmnop}\nprovider:"),
    (rules.holds_no_secret, JOB, "kind: ServiceAccount", "kind: Secret"),
    (rules.holds_no_secret, CLUSTER, "name: RAYTL_CACHE\n", "name: AWS_SECRET_ACCESS_KEY\n"),
    (rules.is_calm, AWS, "    - --env RAY_LD_PRELOAD_ON_WORKERS=1\n", ""),
    (rules.is_calm, JOB, "name: RAY_USAGE_STATS_ENABLED", "name: X"),
    (rules.is_calm, "slurm.sh", "RAY_USAGE_STATS_REPORT_URL", "X"),
    (rules.is_calm, "slurm.sh", "RAY_worker_niceness=0", ""),
    (rules.caches_locally, GCP, "/mnt/nvme/raytl:/cache", "/home/cache:/cache"),
    (rules.caches_locally, JOB, "mountPath: /cache", "mountPath: /elsewhere"),
    (rules.caches_locally, "Dockerfile", "RAYTL_CACHE=/cache", "X=/cache"),
    (rules.heads_stay, AWS, "      InstanceMarketOptions: {MarketType: spot}\n", ""),
    (rules.heads_stay, AWS, "      InstanceType: m6i.xlarge\n", "      InstanceType: m6i.xlarge\n      InstanceMarketOptions: {MarketType: spot}\n"),
    (rules.heads_stay, GCP, "provisioningModel: SPOT", "provisioningModel: STANDARD"),
    (rules.heads_stay, GCP, "min_workers: 0", "min_workers: 1"),
    (rules.heads_stay, JOB, "operator: NotIn", "operator: In"),
    (rules.heads_stay, CLUSTER, "tolerations:", "x:"),
    (rules.asks_for_what_it_takes, JOB, "limits:", "limit:"),
    (rules.asks_for_what_it_takes, CLUSTER, "requests:", "wants:"),
    (rules.leaves_in_order, JOB, "preStop:", "postStart:"),
    (rules.leaves_in_order, CLUSTER, "terminationGracePeriodSeconds: 120", "terminationGracePeriodSeconds: 60"),
    (rules.shares_memory, JOB, "medium: Memory", "medium: \"\""),
    (rules.shares_memory, CLUSTER, "sizeLimit: \"4Gi\"", "sizeLimit: \"64Gi\""),
    (rules.is_unprivileged, JOB, "runAsNonRoot: true", "runAsNonRoot: false"),
    (rules.is_unprivileged, CLUSTER, "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true"),
    (rules.is_unprivileged, CLUSTER, "automountServiceAccountToken: false", "automountServiceAccountToken: true"),
    (rules.jobs_end, JOB, "activeDeadlineSeconds", "backoffLimitX"),
    (rules.jobs_end, JOB, "shutdownAfterJobFinishes: true", "shutdownAfterJobFinishes: false"),
    (rules.jobs_end, JOB, "ttlSecondsAfterFinished: 600", "ttlSecondsAfterFinished: 0"),
    (rules.has_usage, CRON, "kubectl apply -f clusters/kuberay-cronjob.yaml", "kubectl apply"),
    (rules.has_usage, DAG, "# To change:", "# Change:"),
    (rules.has_usage, TIMER, "# To change:", "# Change:"),
    (rules.has_usage, CRONTAB, "clusters/retrain.crontab", "x"),
    (rules.asks_for_a_token, CRON, "mode: token", "mode: disabled"),
    (rules.asks_for_a_token, RAY_CRON, "secretKeyRef", "configMapKeyRef"),
    (rules.asks_for_a_token, DAG, '"RAY_AUTH_MODE": "token"', '"RAY_AUTH_MODE": "disabled"'),
    (rules.asks_for_a_token, DAG, "{{ conn.raytl.password }}", "abc"),
    (rules.keeps_the_dashboard_in, RAY_CRON, "serviceType: ClusterIP", "serviceType: LoadBalancer"),
    (rules.keeps_the_dashboard_in, CRON, "enableIngress: false", "enableIngress: true"),
    (rules.holds_no_secret, DAG, "{{ conn.raytl.password }}", "abc"),
    (rules.holds_no_secret, CRONTAB, "MAILTO", "AWS_SECRET_ACCESS_KEY=abcdefghijklmnop\nMAILTO"),
    (rules.is_calm, CRON, "name: RAY_USAGE_STATS_ENABLED", "name: X"),
    (rules.caches_locally, RAY_CRON, "mountPath: /cache", "mountPath: /elsewhere"),
    (rules.heads_stay, CRON, "operator: NotIn", "operator: In"),
    (rules.asks_for_what_it_takes, CRON, 'cpu: "100m"\n                  memory: "128Mi"', 'cpu: "100m"'),
    (rules.asks_for_what_it_takes, CRON, "limits:", "limit:"),
    (rules.asks_for_what_it_takes, RAY_CRON, "requests:", "wants:"),
    (rules.leaves_in_order, CRON, "preStop:", "postStart:"),
    (rules.shares_memory, RAY_CRON, "medium: Memory", 'medium: ""'),
    (rules.is_unprivileged, CRON, "runAsNonRoot: true", "runAsNonRoot: false"),
    (rules.is_unprivileged, RAY_CRON, "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true"),
    (rules.jobs_end, CRON, "activeDeadlineSeconds: 86400", "x: 1"),
    (rules.jobs_end, RAY_CRON, "shutdownAfterJobFinishes: true", "shutdownAfterJobFinishes: false"),
    (rules.asks_little_of_kubernetes, CRON, "      - create\n", "      - '*'\n"),
    (rules.asks_little_of_kubernetes, CRON, "      - rayjobs\n", "      - rayjobs\n      - secrets\n"),
    (rules.asks_little_of_kubernetes, CRON, "kind: RoleBinding", "kind: ClusterRoleBinding"),
    (rules.asks_little_of_kubernetes, CRON, "serviceAccountName: raytl-starter", "serviceAccountName: raytl"),
    (rules.asks_little_of_kubernetes, CRON, "serviceAccountName: raytl\n", "serviceAccountName: raytl-starter\n"),
    (rules.retrains, CRON, "-m raytl retrain", "-m raytl train"),
    (rules.retrains, RAY_CRON, "experiment.yaml --set", "experiment.yaml --sett"),
    (rules.retrains, DAG, "submit retrain", "submit train"),
    (rules.retrains, DAG, "--code image", "--code images"),
    (rules.retrains, SERVICE, "raytl retrain", "raytl tune"),
    (rules.retrains, CRONTAB, "raytl retrain /etc", "raytl retrain --new /etc"),
    (rules.ticks_do_not_pile_up, CRON, "concurrencyPolicy: Forbid", "concurrencyPolicy: Allow"),
    (rules.ticks_do_not_pile_up, CRON, "startingDeadlineSeconds", "x"),
    (rules.ticks_do_not_pile_up, CRON, "failedJobsHistoryLimit", "x"),
    (rules.ticks_do_not_pile_up, CRON, "activeDeadlineSeconds: 87300", "activeDeadlineSeconds: 600"),
    (rules.ticks_do_not_pile_up, CRON, "ownerReferences", "x"),
    (rules.ticks_do_not_pile_up, CRON, "JOB-NAME-tick", "JOB-NAME"),
    (rules.ticks_do_not_pile_up, DAG, "max_active_runs=1", "max_active_runs=2"),
    (rules.ticks_do_not_pile_up, DAG, "catchup=False", "catchup=True"),
    (rules.ticks_do_not_pile_up, SERVICE, "Type=oneshot", "Type=simple"),
    (rules.ticks_do_not_pile_up, SERVICE, "TimeoutStartSec=23h", "TimeoutStartSec=infinity"),
    (rules.ticks_do_not_pile_up, TIMER, "Persistent=true", "Persistent=false"),
    (rules.ticks_do_not_pile_up, CRONTAB, "timeout --signal=INT --kill-after=2m 23h ", ""),
    (rules.failures_are_told, CRON, "backoffLimit: 0", "backoffLimit: 3"),
    (rules.failures_are_told, RAY_CRON, "backoffLimit: 0", "backoffLimit: 3"),
    (rules.failures_are_told, DAG, " --wait", ""),
    (rules.failures_are_told, SERVICE, "Type=oneshot", "Type=oneshot\nRestart=on-failure"),
    (rules.failures_are_told, SERVICE, "SuccessExitStatus=130", "SuccessExitStatus=1 130"),
    (rules.failures_are_told, CRONTAB, 'exit "$code"', "true"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "name"),
    [pytest.param(rule, name, id=f"{rule.__name__}-{name}") for rule, names in APPLIES.items() for name in names],
)
def test_every_file_follows_its_rules(rule: rules.Rule, name: str) -> None:
    assert list(rule(name, text_of(name))) == []


@pytest.mark.parametrize(
    ("rule", "name", "old", "new"),
    [pytest.param(*row, id=f"{row[0].__name__}-{row[1]}-{i}") for i, row in enumerate(BROKEN)],
)
def test_a_violation_is_found(rule: rules.Rule, name: str, old: str, new: str) -> None:
    text = text_of(name)
    assert old in text
    assert list(rule(name, text.replace(old, new)))


def test_every_rule_has_a_violation() -> None:
    assert {row[0] for row in BROKEN} == set(APPLIES)
