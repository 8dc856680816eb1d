"""Log records that say which job they belong to."""

from __future__ import annotations

import logging

from .job import get_job_context


class JobLogFields(logging.Filter):
    """Adds the running job's identifier and its `log_context_fields` to each record, as attribute `job` and as text."""

    def filter(self, record: logging.LogRecord) -> bool:
        context = get_job_context(required=False)
        if context is not None and not hasattr(record, "job"):
            fields = {"job": context.job.id, **context.log_context_fields}
            record.job = fields
            record.msg = f"{record.getMessage()} [{' '.join(f'{k}={v}' for k, v in fields.items())}]"
            record.args = ()
        return True
