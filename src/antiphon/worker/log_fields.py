"""Log records that say which job they belong to."""

from __future__ import annotations

import logging

from .job import get_job_context


class JobLogFields(logging.Filter):
    """Adds the running job's identifier and its `log_context_fields` to each record's `fields`."""

    def filter(self, record: logging.LogRecord) -> bool:
        context = get_job_context(required=False)
        if context is not None:
            record.fields = {
                "job": context.job.id,
                **context.log_context_fields,
                **getattr(record, "fields", {}),
            }
        return True
