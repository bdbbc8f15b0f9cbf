#include "arguments.h"
#include <cmath>
#include <cstring>

void Refuse(Napi::Env env, const std::string &reason)
{
	throw Napi::TypeError::New(env, reason);
}

Bytes BytesArgument(Napi::Value value, const std::string &name)
{
	if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
		Refuse(value.Env(), name + " must be a Uint8Array");
	auto array = value.As<Napi::Uint8Array>();
	return {array.Data(), array.ElementLength()};
}

Bytes BytesArgument(Napi::Value value, const std::string &name, size_t size)
{
	Bytes bytes = BytesArgument(value, name);
	if (bytes.size != size)
		Refuse(value.Env(), name + " must have " + std::to_string(size) + " bytes, not " +
		                            std::to_string(bytes.size));
	return bytes;
}

std::string StringArgument(Napi::Value value, const std::string &name)
{
	if (!value.IsString())
		Refuse(value.Env(), name + " must be a string");
	std::string text = value.As<Napi::String>();
	if (text.empty() || text.find('\0') != std::string::npos)
		Refuse(value.Env(), name + " must not be empty or contain NUL");
	return text;
}

uint32_t IntegerArgument(Napi::Value value, const std::string &name, uint32_t minimum, uint32_t maximum)
{
	double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : NAN;
	if (!(number >= minimum && number <= maximum) || number != std::floor(number))
		Refuse(value.Env(), name + " must be an integer from " + std::to_string(minimum) + " to " +
		                            std::to_string(maximum));
	return static_cast<uint32_t>(number);
}

bool BooleanArgument(Napi::Value value, const std::string &name, bool absent)
{
	if (value.IsUndefined())
		return absent;
	if (!value.IsBoolean())
		Refuse(value.Env(), name + " must be true or false");
	return value.As<Napi::Boolean>();
}

Napi::Object OptionsArgument(Napi::Value value, const std::string &name)
{
	if (value.IsUndefined())
		return Napi::Object::New(value.Env());
	if (!value.IsObject())
		Refuse(value.Env(), name + " must be an object");
	return value.As<Napi::Object>();
}

Napi::Value BytesValue(Napi::Env env, const void *data, size_t size)
{
	Napi::Uint8Array array = Napi::Uint8Array::New(env, size);
	if (size)
		std::memcpy(array.Data(), data, size);
	return array;
}
