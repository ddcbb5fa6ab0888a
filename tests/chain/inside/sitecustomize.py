"""Python loads this file by itself in each of Airflow's processes when it starts."""

import machine_faults
import preloaded

machine_faults.install()
preloaded.install()
