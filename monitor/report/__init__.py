"""The report of a caption: versioned JSON, and a fold of the caption's events."""

from .builder import (
    Header,
    ReportBuilder,
    fold,
    svar_of,
)
from .inside import Band, BandsSection, Grid, Inside, MentionInside, Planes, Reads
from .records import (
    Record,
    parse_record,
    schema,
    shipped_schema,
)
from .section import Number
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
    Report,
    TimingsSection,
    TokenSection,
    TrialSection,
)

__all__ = [
    "VERSION",
    "ActionSection",
    "Band",
    "BandsSection",
    "CalibrationSection",
    "CertificateSection",
    "Failure",
    "Grid",
    "Header",
    "ImageSection",
    "Inside",
    "LayersSection",
    "MentionInside",
    "MentionSection",
    "ModelSection",
    "Number",
    "Planes",
    "Reads",
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
