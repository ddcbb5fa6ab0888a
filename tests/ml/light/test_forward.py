"""The NumPy forward pass says what Keras says, of every network for itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.errors import BadInputError, IntegrityError
from include.ml.config import MODEL_TYPES, SIZES, TARGETS
from include.ml.light import forward as module
from include.ml.light.agreement import require_light_agreement
from include.ml.light.forward import Outputs, forward
from tests.ml.light.networks import Network, perturbed, similar, trained


def keras_says(network: Network) -> tuple[np.ndarray, np.ndarray]:
    output = network.model(network.windows, training=False)
    return np.asarray(output["probability"])[:, 0], np.asarray(output["quantiles"])


def same(one: Outputs, other: Outputs, atol: float = 1e-6) -> None:
    np.testing.assert_allclose(one.probability_up, other.probability_up, atol=atol, rtol=0)
    np.testing.assert_allclose(one.quantiles, other.quantiles, atol=atol, rtol=0)


def asked(network: Network, count: int) -> tuple[list[dict[str, np.ndarray]], np.ndarray]:
    windows = network.windows[np.arange(count) % len(network.windows)]
    return similar(network, count), windows


@pytest.mark.critical
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_both_paths_agree_for_every_type_size_and_target(model_type: str, size: str, target: str) -> None:
    network = perturbed(model_type, size, target)
    probability, quantiles = keras_says(network)
    light = forward(model_type, [network.arrays], network.windows)
    np.testing.assert_allclose(light.probability_up, probability, atol=1e-5, rtol=0)
    np.testing.assert_allclose(light.quantiles, quantiles, atol=1e-5, rtol=0)
    assert np.ptp(probability) > 0.1  # weights at their start would agree on nearly nothing but a constant
    assert (light.probability_up.dtype, light.quantiles.shape) == (np.float32, (len(network.windows), 8, 3))


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_both_paths_agree_for_trained_networks(model_type: str) -> None:
    network = trained(model_type)
    require_light_agreement(network.model, model_type, network.arrays, network.windows)
    probability, quantiles = keras_says(network)
    light = forward(model_type, [network.arrays], network.windows)
    np.testing.assert_allclose(light.probability_up, probability, atol=1e-5, rtol=0)
    np.testing.assert_allclose(light.quantiles, quantiles, atol=1e-5, rtol=0)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_every_weight_counts(model_type: str) -> None:
    network = perturbed(model_type)
    windows = network.windows[:4]
    good = forward(model_type, [network.arrays], windows)
    for name, array in network.arrays.items():
        if name.endswith("/key/bias"):
            continue  # adds the same to all scores of a query, which the softmax takes away again
        changed = {**network.arrays, name: array + np.float32(0.01) * np.sign(array)}
        light = forward(model_type, [changed], windows)
        differences = (light.probability_up - good.probability_up, light.quantiles - good.quantiles)
        assert max(np.abs(difference).max() for difference in differences) > 1e-4, name


def test_a_disagreement_is_refused() -> None:
    network = perturbed("lstm")
    changed = {**network.arrays, "quantiles/bias": network.arrays["quantiles/bias"] + np.float32(0.001)}
    with pytest.raises(IntegrityError, match=r"does not give the quantiles of Keras .* differ by 0\.00"):
        require_light_agreement(network.model, "lstm", changed, network.windows)
    changed = {**network.arrays, "skip/bias": network.arrays["skip/bias"] + np.float32(0.001)}
    with pytest.raises(IntegrityError, match="does not give the probability of Keras"):
        require_light_agreement(network.model, "lstm", changed, network.windows)


def test_a_network_of_no_numbers_does_not_agree() -> None:
    network = perturbed("gru")
    broken = {**network.arrays, "trunk/kernel": np.full_like(network.arrays["trunk/kernel"], np.nan)}
    with pytest.raises(IntegrityError, match="differ by nan"):
        require_light_agreement(network.model, "gru", broken, network.windows)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_each_network_answers_in_company_as_alone(model_type: str) -> None:
    network = perturbed(model_type)
    arrays, windows = asked(network, 2 * module.STACKED + 3)
    together = forward(model_type, arrays, windows)
    assert np.ptp(together.probability_up) > 0.1
    for at in (0, 1, module.STACKED - 1, module.STACKED, len(arrays) - 1):
        alone = forward(model_type, [arrays[at]], windows[at : at + 1])
        same(Outputs(together.probability_up[at : at + 1], together.quantiles[at : at + 1]), alone)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), model_type=st.sampled_from(MODEL_TYPES))
def test_the_order_of_the_networks_and_the_chunks_change_nothing(data: st.DataObject, model_type: str) -> None:
    arrays, windows = asked(perturbed(model_type), 12)
    order = data.draw(st.permutations(range(12)))
    cut = data.draw(st.integers(1, 11))
    whole = forward(model_type, arrays, windows)
    shuffled = forward(model_type, [arrays[at] for at in order], windows[list(order)])
    same(shuffled, Outputs(whole.probability_up[list(order)], whole.quantiles[list(order)]))
    parts = [forward(model_type, arrays[s], windows[s]) for s in (slice(cut), slice(cut, None))]
    probability, quantiles = (
        np.concatenate([getattr(p, name) for p in parts]) for name in ("probability_up", "quantiles")
    )
    same(whole, Outputs(probability, quantiles))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_broken_network_answers_nan_and_disturbs_no_neighbour(model_type: str, value: float) -> None:
    arrays, windows = asked(perturbed(model_type), 5)
    good = forward(model_type, arrays, windows)
    for name in arrays[2]:
        spoiled = arrays[2][name].copy()
        spoiled.flat[-1] = value
        light = forward(model_type, [*arrays[:2], {**arrays[2], name: spoiled}, *arrays[3:]], windows)
        assert np.isnan(light.probability_up[2]), name
        assert np.isnan(light.quantiles[2]).all(), name
        others = [0, 1, 3, 4]
        np.testing.assert_array_equal(light.probability_up[others], good.probability_up[others])
        np.testing.assert_array_equal(light.quantiles[others], good.quantiles[others])


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_window_of_no_numbers_spoils_only_its_own_answer(model_type: str) -> None:
    arrays, windows = asked(perturbed(model_type), 5)
    good = forward(model_type, arrays, windows)
    windows = windows.copy()
    windows[1, -1, 3] = np.nan
    light = forward(model_type, arrays, windows)
    assert np.isnan(light.probability_up[1])
    assert np.isnan(light.quantiles[1]).all()
    np.testing.assert_array_equal(np.delete(light.quantiles, 1, 0), np.delete(good.quantiles, 1, 0))


def test_what_does_not_fit_together_is_refused() -> None:
    small, standard = perturbed("lstm"), perturbed("lstm", "standard")
    windows = small.windows[:2]
    with pytest.raises(BadInputError, match="No network"):
        forward("lstm", [], windows)
    with pytest.raises(BadInputError, match="2 network"):
        forward("lstm", [small.arrays, small.arrays], small.windows[:3])
    with pytest.raises(BadInputError, match="different shapes"):
        forward("lstm", [small.arrays, standard.arrays], windows)
    with pytest.raises(BadInputError, match="read 20 features, the windows hold 7"):
        forward("lstm", [small.arrays], windows[:, :, :7])


@pytest.mark.parametrize(
    ("model_type", "change", "complaint"),
    [
        ("lstm", {"lstm_1/bias": None}, r"missing \['lstm_1/bias'\]"),
        ("lstm", {"moon/kernel": np.zeros(3, np.float32)}, r"unknown \['moon/kernel'\]"),
        ("gru", {"gru_1/bias": np.zeros(48, np.float32)}, r"gru_1/bias \(48,\) instead of \(2, 48\)"),
        ("transformer", {"projection/bias": None}, "projection/bias"),
        ("transformer", {"attention_1/query/kernel": None}, "first transformer layer"),
        ("lstm", {"quantiles/bias": np.zeros(7, np.float32)}, "quantiles/bias"),
    ],
)
def test_arrays_that_are_no_such_network_are_refused(
    model_type: str, change: dict[str, np.ndarray | None], complaint: str
) -> None:
    network = perturbed(model_type)
    arrays = {name: array for name, array in {**network.arrays, **change}.items() if array is not None}
    with pytest.raises(IntegrityError, match=complaint):
        forward(model_type, [arrays], network.windows)
    with pytest.raises(IntegrityError, match="No forward pass for model type 'cnn'"):
        forward("cnn", [network.arrays], network.windows)
