"""An audit trail of the jobs' table, written by the database itself in the same transactions."""

from __future__ import annotations

import dataclasses

from sqlalchemy import text

from ptsys.store.database import Database

_SQLITE = """
CREATE TABLE drill_audit (
  n INTEGER PRIMARY KEY AUTOINCREMENT, act TEXT, job TEXT, owner TEXT,
  old_state TEXT, old_fence INTEGER, old_worker TEXT, old_step INTEGER, old_prompt TEXT,
  new_state TEXT, new_fence INTEGER, new_worker TEXT, new_step INTEGER, new_prompt TEXT);
CREATE TRIGGER drill_inserted AFTER INSERT ON jobs BEGIN
  INSERT INTO drill_audit (act, job, owner, new_state, new_fence, new_worker, new_step, new_prompt)
  VALUES ('insert', new.id, new.owner, new.state, new.fence, new.worker, new.step, new.prompt);
END;
CREATE TRIGGER drill_updated AFTER UPDATE ON jobs BEGIN
  INSERT INTO drill_audit (act, job, owner, old_state, old_fence, old_worker, old_step, old_prompt,
    new_state, new_fence, new_worker, new_step, new_prompt)
  VALUES ('update', new.id, new.owner, old.state, old.fence, old.worker, old.step, old.prompt,
    new.state, new.fence, new.worker, new.step, new.prompt);
END;
CREATE TRIGGER drill_deleted AFTER DELETE ON jobs BEGIN
  INSERT INTO drill_audit (act, job, owner, old_state)
  VALUES ('delete', old.id, old.owner, old.state);
END
"""

_POSTGRES = """
CREATE TABLE drill_audit (
  n BIGSERIAL PRIMARY KEY, act TEXT, job TEXT, owner TEXT,
  old_state TEXT, old_fence INTEGER, old_worker TEXT, old_step INTEGER, old_prompt TEXT,
  new_state TEXT, new_fence INTEGER, new_worker TEXT, new_step INTEGER, new_prompt TEXT);
CREATE FUNCTION drill_audit_job() RETURNS trigger AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO drill_audit (act, job, owner, new_state, new_fence, new_worker,
      new_step, new_prompt)
    VALUES ('insert', NEW.id, NEW.owner, NEW.state, NEW.fence, NEW.worker, NEW.step, NEW.prompt);
  ELSIF TG_OP = 'UPDATE' THEN
    INSERT INTO drill_audit (act, job, owner, old_state, old_fence, old_worker, old_step,
      old_prompt, new_state, new_fence, new_worker, new_step, new_prompt)
    VALUES ('update', NEW.id, NEW.owner, OLD.state, OLD.fence, OLD.worker, OLD.step, OLD.prompt,
      NEW.state, NEW.fence, NEW.worker, NEW.step, NEW.prompt);
  ELSE
    INSERT INTO drill_audit (act, job, owner, old_state)
    VALUES ('delete', OLD.id, OLD.owner, OLD.state);
  END IF;
  RETURN NULL;
END $$ LANGUAGE plpgsql;
CREATE TRIGGER drill_jobs AFTER INSERT OR UPDATE OR DELETE ON jobs
  FOR EACH ROW EXECUTE FUNCTION drill_audit_job()
"""


@dataclasses.dataclass(frozen=True)
class Change:
    """One change of one job's row; those of one job are in order."""

    n: int
    act: str
    job: str
    owner: str
    old_state: str | None
    old_fence: int | None
    old_worker: str | None
    old_step: int | None
    old_prompt: str | None
    new_state: str | None
    new_fence: int | None
    new_worker: str | None
    new_step: int | None
    new_prompt: str | None


def begin_audit(database: Database) -> None:
    """Let the database write down every change of a job from now on."""
    with database.engine.connect() as connection:
        raw = connection.connection
        cursor = raw.cursor()
        if database.engine.dialect.name == "sqlite":
            connection.rollback()
            for statement in _SQLITE.strip().split(";\nCREATE"):
                start = "" if statement.startswith("CREATE") else "CREATE"
                cursor.execute(start + statement)
        else:
            cursor.execute(_POSTGRES)
        raw.commit()


def read_audit(database: Database) -> list[Change]:
    """All changes."""
    names = [field.name for field in dataclasses.fields(Change)]
    with database.reading() as session:
        rows = session.execute(text(f"SELECT {', '.join(names)} FROM drill_audit ORDER BY n"))
        return [Change(*row) for row in rows]
