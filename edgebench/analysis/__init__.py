"""From runs to statements about them: which runs are valid, figures, comparisons, tuning. Pure: no board, no files.

Runs and Measurements come in; Measurements, Comparisons, verdicts and Evaluations come out.
"""

from __future__ import annotations

from edgebench.analysis.comparability import SCORE_PROTOCOL, changed_on_board, is_same_workload, row_key
from edgebench.analysis.comparison import Comparison, compare_pairs, why_not_comparable
from edgebench.analysis.comparison_document import comparison_document
from edgebench.analysis.conditions import CPU_ZONES, FREQUENCY, OTHERS_CPU, THROTTLED, cpu_temperatures, highest
from edgebench.analysis.contrast import BY_SESSION, Contrast
from edgebench.analysis.energy import LEAST_READINGS, averaging_time_ns, energy_of, has_power, idle_power_uw, rails_of
from edgebench.analysis.evaluation import Difference, Evaluation, with_caveats
from edgebench.analysis.exclusion import LEAST_JUDGED_NS
from edgebench.analysis.limits import MOST_OF_MARGIN
from edgebench.analysis.log_ratios import with_ratios
from edgebench.analysis.pairing import OF_FILE, ExampleScores, ScoredMeasurement, join_scores
from edgebench.analysis.pareto import Figure, Front, fronts
from edgebench.analysis.passes import batches_of_a_pass, complete_passes, duration_ns
from edgebench.analysis.quantities import (
    ENERGY,
    LATENCY,
    P50,
    P95,
    P99,
    PEAK_PSS,
    PEAK_RSS,
    THROUGHPUT,
    Quantity,
    estimate,
    run_figures,
)
from edgebench.analysis.quiet import disturbance, disturbers
from edgebench.analysis.run_rules import utilisation
from edgebench.analysis.score_comparison import (
    SCORE_MARGIN,
    WORDS,
    PairedComparison,
    ScoreContrast,
    compare_scores,
    compare_with_scores,
    scores_sentence,
)
from edgebench.analysis.sentences import sides_lines
from edgebench.analysis.session_history import SessionHistory, session_history
from edgebench.analysis.summary import figures_of, summarise, summarise_run
from edgebench.analysis.table_rows import compare_rows
from edgebench.analysis.throttling import STICKY_SHIFT, throttle_names
from edgebench.analysis.timeline import mean_service_s
from edgebench.analysis.tuning import Tuned, again_id, cores_text, setting_text, tuned
from edgebench.analysis.undecided import NOT_DECIDED, is_one_session
from edgebench.analysis.validity import reasons_against, reasons_against_one_pass, validate_group
from edgebench.analysis.verdict_family import NOT_JUDGED

__all__ = [
    "BY_SESSION",
    "CPU_ZONES",
    "ENERGY",
    "FREQUENCY",
    "LATENCY",
    "LEAST_JUDGED_NS",
    "LEAST_READINGS",
    "MOST_OF_MARGIN",
    "NOT_DECIDED",
    "NOT_JUDGED",
    "OF_FILE",
    "OTHERS_CPU",
    "P50",
    "P95",
    "P99",
    "PEAK_PSS",
    "PEAK_RSS",
    "SCORE_MARGIN",
    "SCORE_PROTOCOL",
    "STICKY_SHIFT",
    "THROTTLED",
    "THROUGHPUT",
    "WORDS",
    "Comparison",
    "Contrast",
    "Difference",
    "Evaluation",
    "ExampleScores",
    "Figure",
    "Front",
    "PairedComparison",
    "Quantity",
    "ScoreContrast",
    "ScoredMeasurement",
    "SessionHistory",
    "Tuned",
    "again_id",
    "averaging_time_ns",
    "batches_of_a_pass",
    "changed_on_board",
    "compare_pairs",
    "compare_rows",
    "compare_scores",
    "compare_with_scores",
    "comparison_document",
    "complete_passes",
    "cores_text",
    "cpu_temperatures",
    "disturbance",
    "disturbers",
    "duration_ns",
    "energy_of",
    "estimate",
    "figures_of",
    "fronts",
    "has_power",
    "highest",
    "idle_power_uw",
    "is_one_session",
    "is_same_workload",
    "join_scores",
    "mean_service_s",
    "rails_of",
    "reasons_against",
    "reasons_against_one_pass",
    "row_key",
    "run_figures",
    "scores_sentence",
    "session_history",
    "setting_text",
    "sides_lines",
    "summarise",
    "summarise_run",
    "throttle_names",
    "tuned",
    "utilisation",
    "validate_group",
    "why_not_comparable",
    "with_caveats",
    "with_ratios",
]
