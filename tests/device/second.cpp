// A second device for tests on a machine without a GPU. Its tensors lie in the CPU's memory and the CPU's kernels work on
// them, but an operation that mixes them with tensors of the CPU is refused, as it is on a GPU.

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/extension.h>

#include <set>
#include <span>

namespace {
using at::Tensor;
using Numbers = c10::SymIntArrayRef;
constexpr auto kSecond = c10::DeviceType::PrivateUse1;
const c10::Device device(kSecond, 0);

// What torch asks of any device. There is one, and what it is told to do is done at once.

struct Guard : c10::impl::NoOpDeviceGuardImpl<kSecond> {
  const c10::Stream stream{c10::Stream::DEFAULT, device};
  c10::Device exchangeDevice(c10::Device) const override { return device; }
  c10::Device getDevice() const override { return device; }
  c10::Stream getStream(c10::Device) const noexcept override { return stream; }
  c10::Stream exchangeStream(c10::Stream) const noexcept override { return stream; }
  void record(void**, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

struct Hooks : at::PrivateUse1HooksInterface {
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  bool isAvailable() const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override { return at::detail::getDefaultCPUGenerator(); }
};

// Memory, and the same memory as that of another device.

template <class Owner>
c10::DataPtr owned(void* data, Owner owner, c10::Device place) {
  return {data, new Owner(std::move(owner)), [](void* it) { delete static_cast<Owner*>(it); }, place};
}

struct Allocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    auto data = c10::GetAllocator(c10::kCPU)->allocate(bytes);
    void* address = data.get();
    return owned(address, std::move(data), device);
  }
  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }
};
Allocator allocator;
REGISTER_ALLOCATOR(kSecond, &allocator);

c10::Storage seen_from(const c10::Storage& storage, c10::Device place) {
  auto data = owned(const_cast<void*>(storage.data()), storage, place);
  auto* resizes = c10::GetAllocator(place.type());
  return {c10::Storage::use_byte_size_t(), storage.nbytes(), std::move(data), resizes, /*resizable=*/true};
}

template <class... Kind>  // c10::TensorImpl::VIEW or nothing
Tensor tensor(const c10::Storage& storage, c10::DispatchKeySet keys, const Tensor& shape, Kind... kind) {
  auto made = at::detail::make_tensor<c10::TensorImpl>(kind..., c10::Storage(storage), keys, shape.dtype());
  made.unsafeGetTensorImpl()->set_storage_offset(shape.storage_offset());
  made.unsafeGetTensorImpl()->set_sizes_and_strides(shape.sizes(), shape.strides());
  if (shape.is_conj() != made.is_conj()) made._set_conj(shape.is_conj());
  if (shape.is_neg() != made.is_neg()) made._set_neg(shape.is_neg());
  return made;
}

// The tensors of one operation, as the CPU sees them.
struct Call {
  std::vector<std::pair<Tensor, Tensor>> known;  // ours, the CPU's

  Tensor to_cpu(const Tensor& ours) {
    if (!ours.defined() || ours.device().type() != kSecond) return ours;
    for (auto& [mine, cpu] : known)
      if (mine.is_same(ours)) return cpu;
    auto cpu = tensor(seen_from(ours.storage(), c10::kCPU), c10::DispatchKeySet(c10::DispatchKey::CPU), ours);
    if (ours.unsafeGetTensorImpl()->is_wrapped_number()) cpu.unsafeGetTensorImpl()->set_wrapped_number(true);
    known.emplace_back(ours, cpu);
    return cpu;
  }

  Tensor to_ours(const Tensor& result) {
    if (!result.defined()) return result;
    for (auto& [ours, cpu] : known)  // the operation gives back what it was given
      if (cpu.is_same(result)) return ours;
    for (auto& [ours, cpu] : known)  // or a view of it
      if (result.storage().data() && result.storage().data() == ours.storage().data())
        return tensor(ours.storage(), ours.key_set(), result, c10::TensorImpl::VIEW);
    return tensor(seen_from(result.storage(), device), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), result);
  }

  void take_over_sizes() {
    for (auto& [ours, cpu] : known) {
      if (cpu.storage().nbytes() != ours.storage().nbytes()) {
        ours.storage().set_nbytes(cpu.storage().nbytes());
        ours.storage().set_data_ptr(owned(const_cast<void*>(cpu.storage().data()), cpu.storage(), device));
      }
      if (cpu.sizes() != ours.sizes() || cpu.strides() != ours.strides())
        ours.unsafeGetTensorImpl()->set_sizes_and_strides(cpu.sizes(), cpu.strides());
    }
  }
};

// Replace every tensor of a value.
template <class Change>
void each(c10::IValue& value, Change change) {
  if (value.isTensor()) {
    value = change(value.toTensor());
  } else if (value.isTensorList()) {
    std::vector<Tensor> list = value.toTensorVector();
    for (auto& item : list) item = change(item);
    value = list;
  } else if (value.isOptionalTensorList()) {
    auto list = value.toOptionalTensorList().copy();
    for (size_t i = 0; i < list.size(); i++)
      if (std::optional<Tensor> item = list.get(i)) list.set(i, change(*item));
    value = list;
  }
}

// As CUDA, take numbers (tensors without dimensions) of the CPU, and its indices.
void refuse_a_mixture(const std::string& name, const std::vector<c10::IValue>& values) {
  static const std::set<std::string> mixed{"aten::index", "aten::index_put_", "aten::_index_put_impl_", "aten::copy_"};
  bool ours = false, cpu = false;
  for (auto value : values)
    each(value, [&](const Tensor& it) {
      (it.defined() && it.device().type() == kSecond ? ours : cpu) |= it.defined() && (it.dim() || it.device() == device);
      return it;
    });
  TORCH_CHECK(!(ours && cpu) || mixed.count(name), name, ": expected all tensors on one device, got ", device, " and cpu");
}

std::span<c10::IValue> last(torch::jit::Stack* stack, size_t count) { return std::span(*stack).last(count); }

void run_on_cpu(const c10::OperatorHandle& operation, torch::jit::Stack* stack) {
  const auto& schema = operation.schema();
  const auto inputs = last(stack, schema.arguments().size());
  refuse_a_mixture(schema.name(), {inputs.begin(), inputs.end()});
  Call call;
  for (auto& value : inputs) {
    each(value, [&](const Tensor& it) { return call.to_cpu(it); });
    if (value.isDevice()) value = c10::Device(c10::kCPU);
  }
  operation.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  call.take_over_sizes();
  for (auto& value : last(stack, schema.returns().size())) each(value, [&](const Tensor& it) { return call.to_ours(it); });
}

// Operations without a kernel of the CPU that would do.

Tensor copy_from(const Tensor& self, const Tensor& target, bool) {
  Call call;
  call.to_cpu(target).copy_(call.to_cpu(self));
  return target;
}

Tensor& set(Tensor& self, c10::Storage source, c10::SymInt offset, Numbers size, Numbers stride) {
  auto* made = self.unsafeGetTensorImpl();
  made->set_storage_keep_dtype(std::move(source));
  made->set_storage_offset(offset.expect_int());
  if (stride.size() == size.size()) made->set_sizes_and_strides(size, stride);
  else made->set_sizes_contiguous(C10_AS_INTARRAYREF_SLOW(size));
  return self;
}

Tensor& set_whole(Tensor& self, c10::Storage source) {
  const std::vector<c10::SymInt> size{static_cast<int64_t>(source.nbytes() / self.itemsize())};
  return set(self, std::move(source), 0, size, {});
}

Tensor convolution(const Tensor& x, const Tensor& w, const std::optional<Tensor>& bias, Numbers stride, Numbers padding,
                   Numbers dilation, bool transposed, Numbers output_padding, c10::SymInt groups) {
  refuse_a_mixture("aten::convolution", {x, w, bias.value_or(Tensor())});
  Call call;
  auto b = bias ? std::optional(call.to_cpu(*bias)) : bias;
  return call.to_ours(at::convolution_symint(
      call.to_cpu(x), call.to_cpu(w), b, stride, padding, dilation, transposed, output_padding, groups));
}

std::tuple<Tensor, Tensor, Tensor> convolution_backward(
    const Tensor& gradient, const Tensor& x, const Tensor& w, Numbers stride, Numbers padding, Numbers dilation,
    bool transposed, Numbers output_padding, c10::SymInt groups, std::array<bool, 3> wanted) {
  Call call;
  std::vector<c10::SymInt> size{transposed ? w.sym_size(1) * groups : w.sym_size(0)};
  auto [of_x, of_w, of_bias] = at::convolution_backward_symint(
      call.to_cpu(gradient), call.to_cpu(x), call.to_cpu(w), at::OptionalSymIntArrayRef(size), stride, padding, dilation,
      transposed, output_padding, groups, wanted);
  return {call.to_ours(of_x), call.to_ours(of_w), call.to_ours(of_bias)};
}
}  // namespace

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&run_on_cpu>()); }
TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("_copy_from", copy_from);
  m.impl("set_.source_Storage", set_whole);
  m.impl("set_.source_Storage_storage_offset", set);
  m.impl("convolution_overrideable", convolution);
  m.impl("convolution_backward_overrideable", convolution_backward);
}
TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, m) { m.fallback(torch::CppFunction::makeFallthrough()); }
TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, m) {
  KERNEL_PRIVATEUSEONE(conv2d, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(linear, lower_precision_fp)
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("register_hooks", [] { at::RegisterPrivateUse1HooksInterface(new Hooks); });
}
