"""The sections on all runs together."""

from harness.report.sections.diagnosis import diagnosis as diagnosis
from harness.report.sections.differences import differences as differences
from harness.report.sections.ladder import ladder as ladder
from harness.report.sections.repeats import repeats as repeats
