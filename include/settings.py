"""Every setting: typed, with its default and its environment variable.

A field `foo` is read from `TRADING_OPS_FOO`, except secrets whose names other programs share
(`OPENAI_API_KEY`). Units are part of the names. `.env.example` lists all of them; a test compares.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from include.errors import ConfigurationError

BUNDLE_ROOT = Path(__file__).resolve().parent.parent

Channels = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """The settings of one process, read once from the environment."""

    model_config = SettingsConfigDict(env_prefix="TRADING_OPS_", frozen=True, extra="ignore", populate_by_name=True)

    # --- storage
    mongo_database: str = Field("trading_ops", description="Database of the bundle's own documents.")
    state_dir: Path = Field(
        BUNDLE_ROOT / ".run" / "state",
        description="Local files: checkpoints, spool, model cache. Shared by the workers.",
    )

    # --- market
    symbols: Annotated[tuple[str, ...], NoDecode] = Field(
        ("BTCUSDT", "ETHUSDT"), description="Symbols that the schedules work on, comma-separated."
    )
    timeframe: str = Field("1h", description="Candle length that the schedules work on.")
    binance_base_url: str = Field("https://api.binance.com", description="Binance's REST address.")
    binance_timeout_s: float = Field(10.0, gt=0, description="Seconds a request to Binance may take.")
    binance_max_attempts: int = Field(5, ge=1, description="Attempts per request, 429 and 418 included.")

    # --- the bot's services
    engine_base_url: str = Field("http://localhost:8080", description="The trading bot's core engine.")
    engine_timeout_s: float = Field(10.0, gt=0, description="Seconds a request to the engine may take.")
    ai_service_base_url: str = Field("http://localhost:8000", description="The trading bot's AI service.")
    ai_service_timeout_s: float = Field(15.0, gt=0, description="Seconds a request to the AI service may take.")
    frontend_base_url: str = Field("http://localhost:3000", description="The trading bot's dashboard.")

    # --- GPT-4
    openai_api_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("OPENAI_API_KEY", "openai_api_key"),
        description="Without it no judge is asked.",
    )
    openai_base_url: str = Field("https://api.openai.com/v1", description="OpenAI-compatible endpoint.")
    openai_model: str = Field("gpt-4o", description="A model of the price table in include/analyst/prices.py.")
    openai_timeout_s: float = Field(30.0, gt=0, description="Seconds one call may take.")
    openai_max_output_tokens: int = Field(1000, ge=100, le=4000, description="Longest answer, in tokens.")
    gpt4_daily_budget_usd: float = Field(5.0, ge=0, description="No call whose worst price exceeds what is left.")
    gpt4_monthly_budget_usd: float = Field(100.0, ge=0, description="The same for the calendar month (UTC).")
    gpt4_calls_per_hour: int = Field(5, ge=0, description="Every request sent counts, retries and repairs included.")
    retrain_min_confidence: float = Field(
        0.70, ge=0, le=1, description="GPT-4's confidence below which its recommendation to retrain is not followed."
    )

    # --- training
    max_concurrent_trainings: int = Field(
        2, ge=1, description="Slots of the training pool; TensorFlow's threads are divided by it."
    )
    gpu_count: int = Field(
        0, ge=0, description="GPUs of the training workers: slots of the pool gpu; with 0, trainings use cpu_training."
    )
    training_lease_s: int = Field(600, ge=30, description="A training claim not renewed for so long may be taken over.")
    training_wait_s: int = Field(
        21_600, ge=60, description="A claim of a run whose training waits for a slot expires after so long."
    )
    retrain_days: int = Field(60, ge=7, le=365, description="Days of candles that adaptive_retrain uses.")
    max_candle_age_bars: int = Field(
        6, ge=1, description="adaptive_retrain refuses candles whose newest one closed longer ago than that."
    )
    retrain_epochs: int = Field(30, ge=1, le=1000, description="Epochs of a training that adaptive_retrain starts.")
    model_encryption_key: SecretStr | None = Field(
        None, description="32 bytes, base64: the AES-256-GCM key of the model files. Losing it loses the models."
    )

    min_free_disk_gb: float = Field(
        10.0, ge=0, description="A training does not start with less free space (10^9 bytes) in the state directory."
    )
    training_soft_limit_s: float = Field(
        7200.0, gt=0, description="A training still running then keeps its checkpoint and fails."
    )
    training_hard_limit_s: float = Field(9000.0, gt=0, description="A training task still alive then is ended.")
    trainings_per_user_per_day: int = Field(
        10, ge=1, description="Trainings that one user may start in a day (UTC) through train_model."
    )

    # --- forecasts
    max_model_age_days: float = Field(
        30.0, gt=0, description="A champion whose newest candle is older is not asked for forecasts: retrain."
    )
    analysis_cache_ttl_s: int = Field(300, ge=0, description="bulk_analysis answers again from its cache for so long.")
    prediction_cache_ttl_s: int = Field(900, ge=0, description="predict_price answers from its cache for so long.")
    redis_url: SecretStr | None = Field(
        None, description="Redis, redis://... or rediss://...: cached answers; without it MongoDB keeps them."
    )
    binance_concurrency: int = Field(8, ge=1, le=64, description="Requests to Binance at the same time, at most.")
    binance_weight_per_minute: int = Field(
        3000, ge=20, description="Request weight to use per minute; Binance allows an address 6000."
    )
    drift_psi_warning: float = Field(
        0.2, gt=0, description="Population stability index of a feature above which its drift is said."
    )
    champion_failures_limit: int = Field(
        3, ge=1, description="After so many failures in a row to load or to forecast, a champion is rolled back."
    )

    # --- strategy laboratory
    optimization_processes: int = Field(0, ge=0, description="Processes of an optimisation; 0: one per core.")

    # --- deployment rule
    min_deploy_accuracy: float = Field(0.60, ge=0, le=1, description="A less accurate model is not deployed.")
    min_deploy_skill: float = Field(-0.03, ge=-1, le=1, description="Accuracy less baseline; below it: no deploy.")
    min_comparison_bars: int = Field(150, ge=1, description="With fewer common new bars the champion stays.")

    # --- retries (seconds before the 1st, 2nd, 3rd retry of a transient error; and after a killed worker)
    retry_delays_s: Annotated[tuple[float, ...], NoDecode] = Field(
        (60.0, 120.0, 300.0), description="Seconds before each retry of a transient error, comma-separated."
    )
    infra_retry_delay_s: float = Field(5.0, ge=0, description="Seconds before the retry after a killed worker.")

    # --- notifications
    notifications_enabled: bool = Field(True, description="Off: messages stay in the outbox.")
    notification_channels: Channels = Field(
        ("slack",), description="Channels that messages go to, comma-separated: email, slack, discord, telegram."
    )
    info_channels: Channels | None = Field(
        None, description="Instead of these, for INFO (reports); unset: all of them."
    )
    warning_channels: Channels | None = Field(None, description="Instead of these, for WARNING; unset: all of them.")
    error_channels: Channels | None = Field(None, description="Instead of these, for ERROR; unset: all of them.")
    critical_channels: Channels | None = Field(None, description="Instead of these, for CRITICAL; unset: all of them.")
    email_to: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Who gets the mails, comma-separated; required for the channel email."
    )
    smtp_conn_id: str = Field(
        "smtp_default", description="Airflow connection of type smtp; its extras hold from_email."
    )
    slack_conn_id: str = Field("slack_default", description="Airflow connection of type slackwebhook.")
    discord_conn_id: str = Field(
        "discord_default", description="Airflow connection of type discord: host, and webhook_endpoint in its extras."
    )
    telegram_conn_id: str = Field(
        "telegram_default", description="Airflow connection of type telegram: the token as password, the chat as host."
    )
    message_expires_after_h: float = Field(
        72.0, gt=0, description="A message that a channel has not taken by then is given up for it, and that is said."
    )
    replay_schedule: str = Field(
        "* * * * *", description="When waiting messages and spooled documents are tried again (cron, UTC)."
    )

    # --- health check (an empty address or a missing URL: this deployment does not have the service)
    rabbitmq_url: SecretStr | None = Field(None, description="RabbitMQ's address for the health check, amqp://...")
    rabbitmq_management_url: SecretStr | None = Field(
        None, description="RabbitMQ's management API, http://user:password@host:15672; says the queues' depths."
    )
    health_timeout_s: float = Field(10.0, gt=0, le=11, description="Seconds a probe may take; it has one retry.")
    health_disk_path: Path = Field(Path("/"), description="The file system whose space is watched.")
    health_disk_warning_percent: float = Field(
        80.0, ge=0, le=100, description="A usage of it from here on is a warning."
    )
    health_disk_critical_percent: float = Field(90.0, ge=0, le=100, description="A usage of it above this is critical.")
    health_memory_warning_percent: float = Field(
        80.0, ge=0, le=100, description="A usage of this host's memory from here on is a warning."
    )
    health_memory_critical_percent: float = Field(
        90.0, ge=0, le=100, description="A usage of it above this is critical."
    )
    health_escalate_after_s: float = Field(
        300.0, gt=0, description="A service still down after so long is escalated (once), seen from its first failure."
    )
    redis_restart_command: str = Field("", description="Run once when Redis is down, without a shell; empty: never.")
    rabbitmq_restart_command: str = Field("", description="The same for RabbitMQ.")

    # --- cost of the AI (the limits of spending before a call are gpt4_daily_budget_usd and gpt4_monthly_budget_usd)
    daily_cost_warning_usd: float = Field(2.0, gt=0, description="Spending or projection of a day above it warns.")
    daily_cost_critical_usd: float = Field(5.0, gt=0, description="Spending of a day above it switches GPT-4 off.")
    monthly_cost_warning_usd: float = Field(50.0, gt=0, description="Spending of the month (UTC) above it warns.")
    monthly_cost_critical_usd: float = Field(100.0, gt=0, description="Spending of the month above it switches off.")
    vnd_per_usd: float = Field(25_000.0, gt=0, description="Rate of `cost_vnd`.")

    # --- risk control
    max_daily_loss_pct: float = Field(
        10.0, gt=0, le=100, description="A strategy's loss since 00:00 UTC, in percent of the equity then."
    )
    max_consecutive_losses: int = Field(10, ge=1, description="A strategy with more losses in a row is disabled.")
    min_win_rate_pct: float = Field(30.0, ge=0, le=100, description="A lower win rate over the last trades disables.")
    win_rate_trades: int = Field(20, ge=1, description="How many last trades that win rate is over.")
    risk_alert_repeat_s: float = Field(3600.0, gt=0, description="An unchanged situation is said again after so long.")
    blunt_lever: Literal["off", "both_directions", "min_confidence"] = Field(
        "off",
        description="How a person may stop all new entries of an engine that cannot disable one strategy: "
        "both_directions (short-only and long-only at once) or min_confidence (1.0); off: not at all.",
    )
    approval_timeout_h: float = Field(24.0, gt=0, description="An approval that nobody answers is refused by then.")

    # --- storage under failure, retention
    spool_max_mb: float = Field(512.0, gt=0, description="A spool larger than this is full: an alert.")
    audit_retention_days: int = Field(365, ge=1, description="Audit rows are kept for so long.")
    result_retention_days: int = Field(180, ge=1, description="Results, reports, delivered messages, dead letters.")
    checkpoint_retention_days: int = Field(7, ge=1, description="Checkpoints of finished runs.")
    log_retention_days: int = Field(7, ge=1, description="Task logs of this host.")

    @field_validator(
        "symbols", "notification_channels", "info_channels", "warning_channels", "error_channels",
        "critical_channels", "email_to", "retry_delays_s", mode="before",
    )  # fmt: skip
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("symbols")
    @classmethod
    def _upper(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        symbols = tuple(dict.fromkeys(symbol.upper() for symbol in value))
        if not symbols:
            raise ConfigurationError("TRADING_OPS_SYMBOLS is empty: name at least one symbol, for instance BTCUSDT")
        return symbols

    @property
    def checkpoint_dir(self) -> Path:
        """Where running trainings keep their checkpoints (shared between the workers)."""
        return self.state_dir / "checkpoints"

    @property
    def model_cache_dir(self) -> Path:
        """Where verified, still encrypted copies of model files are kept on this host."""
        return self.state_dir / "models"

    @property
    def spool_dir(self) -> Path:
        """Where documents wait, fsynced, while MongoDB is away."""
        return self.state_dir / "spool"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Return the settings of this process (read once; tests call `get_settings.cache_clear()`)."""
    return Settings()
