"""The report of a caption: versioned JSON, and a fold of the caption's events."""

from .builder import (
    Header,
    ReportBuilder,
    fold,
    svar_of,
)
from .records import (
    Record,
    parse_record,
    schema,
    shipped_schema,
)
from .sections import (
    VERSION,
    ActionSection,
    CalibrationSection,
    CertificateSection,
    Failure,
    ImageSection,
    LayersSection,
    MentionSection,
    ModelSection,
    Number,
    Report,
    TimingsSection,
    TokenSection,
    TrialSection,
)

__all__ = [
    "VERSION",
    "ActionSection",
    "CalibrationSection",
    "CertificateSection",
    "Failure",
    "Header",
    "ImageSection",
    "LayersSection",
    "MentionSection",
    "ModelSection",
    "Number",
    "Record",
    "Report",
    "ReportBuilder",
    "TimingsSection",
    "TokenSection",
    "TrialSection",
    "fold",
    "parse_record",
    "schema",
    "shipped_schema",
    "svar_of",
]
