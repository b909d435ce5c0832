"""Counts the floating-point operations of convolutions and matrix products in a graph.

A multiplication and an addition are two operations. What else a network does (normalisation,
activations, losses) is under a hundredth of that and not counted, as is usual.
"""

import math

import repository  # noqa: F401
import tensorflow as tf


def of_function(function: tf.types.experimental.ConcreteFunction) -> int:
    """Operations of one call of a traced function; its batch sizes must be static."""
    graph = function.graph
    waiting = [output.op for output in graph.outputs] + list(graph.control_outputs)
    # What nothing depends on, as the gradient of the pictures, is in the graph but never run.
    needed = {}
    while waiting:
        operation = waiting.pop()
        if operation.name not in needed:
            needed[operation.name] = operation
            waiting += [value.op for value in operation.inputs] + operation.control_inputs
    return sum(of_operation(operation) for operation in needed.values())


def of_operation(operation: tf.Operation) -> int:
    """Operations of one node of a graph, 0 unless it is a convolution or a matrix product."""
    count = _COUNTERS.get(operation.type)
    return count(operation) if count else 0


def _size(tensor) -> int:
    return math.prod(tensor.shape.as_list())


def _convolution(operation) -> int:
    height, width, channels, _ = operation.inputs[1].shape
    return 2 * _size(operation.outputs[0]) * height * width * channels


def _input_gradient(operation) -> int:
    height, width, channels, _ = operation.inputs[1].shape
    return 2 * _size(operation.inputs[2]) * height * width * channels


def _kernel_gradient(operation) -> int:
    height, width, channels, _ = operation.outputs[0].shape
    return 2 * _size(operation.inputs[2]) * height * width * channels


def _matrix_product(operation) -> int:
    inner = operation.inputs[0].shape[0 if operation.get_attr("transpose_a") else 1]
    return 2 * _size(operation.outputs[0]) * inner


def _depthwise(operation) -> int:
    height, width, _, _ = operation.inputs[1].shape
    return 2 * _size(operation.outputs[0]) * height * width


def _depthwise_input_gradient(operation) -> int:
    height, width, _, _ = operation.inputs[1].shape
    return 2 * _size(operation.inputs[2]) * height * width


def _depthwise_kernel_gradient(operation) -> int:
    height, width, _, _ = operation.outputs[0].shape
    return 2 * _size(operation.inputs[2]) * height * width


_COUNTERS = {
    "Conv2D": _convolution,
    "Conv2DBackpropInput": _input_gradient,
    "Conv2DBackpropFilter": _kernel_gradient,
    "MatMul": _matrix_product,
    "DepthwiseConv2dNative": _depthwise,
    "DepthwiseConv2dNativeBackpropInput": _depthwise_input_gradient,
    "DepthwiseConv2dNativeBackpropFilter": _depthwise_kernel_gradient,
}
