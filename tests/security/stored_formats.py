"""Every stored format."""

from __future__ import annotations

from raytl.data.samples import SAMPLE_FORMAT
from tests.security.stored_batches import BATCHES
from tests.security.stored_candidates import CANDIDATES
from tests.security.stored_evidence import EVIDENCE
from tests.security.stored_feedback import FEEDBACK
from tests.security.stored_registries import REGISTRIES
from tests.security.stored_runs import RUNS
from tests.security.stored_serving import SERVING
from tests.security.stored_sweeps import LEASES, SWEEPS

ALL = [*BATCHES, *RUNS, *EVIDENCE, *REGISTRIES, *SWEEPS, *LEASES, *CANDIDATES, *FEEDBACK, *SERVING]
assert SAMPLE_FORMAT.max_bytes < 1 << 20
