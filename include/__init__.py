"""The product: plain Python that can be imported and tested without Airflow."""
